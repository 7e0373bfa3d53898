//! Go's mode strings (docs/velociraptor-api.md §4.7): flag letters of any number, then nine permission letters.

use vfs::FileType;

/// What a mode string says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Type of the entry.
    pub(crate) file_type: FileType,
    /// Permission bits with setuid (04000), setgid (02000) and sticky (01000).
    pub(crate) bits: u16,
    /// Something is in it that the two other fields do not say.
    pub(crate) unusual: bool,
}

/// Reads a mode string, from the right because the flags have no fixed width.
pub(crate) fn parse(text: &str) -> Mode {
    const UNREADABLE: Mode = Mode { file_type: FileType::Irregular, bits: 0, unusual: true };
    let Some((flags, permissions)) = text.len().checked_sub(9).and_then(|at| text.split_at_checked(at)) else {
        return UNREADABLE;
    };
    let mut bits: u16 = 0;
    for (letter, expected) in permissions.bytes().zip(*b"rwxrwxrwx") {
        bits <<= 1;
        if letter == expected {
            bits |= 1;
        } else if letter != b'-' {
            return UNREADABLE;
        }
    }
    let mut unusual = flags.is_empty();
    let (mut directory, mut link, mut device, mut character, mut fifo, mut socket, mut irregular) =
        (false, false, false, false, false, false, false);
    for flag in flags.bytes() {
        match flag {
            b'-' => {}
            b'd' => directory = true,
            b'L' => link = true,
            b'D' => device = true,
            b'c' => character = true,
            b'p' => fifo = true,
            b'S' => socket = true,
            b'?' => irregular = true,
            b'u' => bits |= 0o4000,
            b'g' => bits |= 0o2000,
            b't' => bits |= 0o1000,
            _ => unusual = true,
        }
    }
    let file_type = if directory {
        FileType::Directory
    } else if link {
        FileType::Symlink
    } else if device && character {
        FileType::CharacterDevice
    } else if device {
        FileType::BlockDevice
    } else if fifo {
        FileType::Fifo
    } else if socket {
        FileType::Socket
    } else if irregular {
        FileType::Irregular
    } else {
        FileType::Regular
    };
    unusual |= irregular;
    Mode { file_type, bits, unusual }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_mode_of_the_reference_is_read() {
        for (text, file_type, bits) in [
            ("drwxr-xr-x", FileType::Directory, 0o755),
            ("-rw-r--r--", FileType::Regular, 0o644),
            ("Lrwxrwxrwx", FileType::Symlink, 0o777),
            ("dtrwxrwxrwx", FileType::Directory, 0o1777),
            ("urwxr-xr-x", FileType::Regular, 0o4755),
            ("grwxr-xr-x", FileType::Regular, 0o2755),
            ("ugrwxr-xr-x", FileType::Regular, 0o6755),
            ("dgrwxr-xr-x", FileType::Directory, 0o2755),
            ("Dcrw-rw-rw-", FileType::CharacterDevice, 0o666),
            ("Drw-r--r--", FileType::BlockDevice, 0o644),
            ("prw-r--r--", FileType::Fifo, 0o644),
            ("Srwxrwxrwx", FileType::Socket, 0o777),
            ("----------", FileType::Regular, 0),
        ] {
            assert_eq!(parse(text), Mode { file_type, bits, unusual: false }, "{text}");
        }
    }

    #[test]
    fn what_is_no_mode_has_no_type_and_is_kept_as_text() {
        for text in ["", "rwx", "-rw-r--r-?", "directory", "drwxr-xr-é"] {
            assert_eq!(parse(text), Mode { file_type: FileType::Irregular, bits: 0, unusual: true }, "{text}");
        }
        assert!(parse("?rw-rw-rw-").unusual);
        assert!(parse("arw-rw-rw-").unusual);
        assert_eq!(parse("arw-rw-rw-").file_type, FileType::Regular);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,30}") {
            parse(&text);
        }

        #[test]
        fn permission_bits_are_what_go_wrote(bits in 0u16..0o1000) {
            let text: String = "rwxrwxrwx".chars().enumerate()
                .map(|(index, letter)| if bits & (1 << (8 - index)) != 0 { letter } else { '-' })
                .collect();
            prop_assert_eq!(parse(&format!("-{text}")).bits, bits);
        }
    }
}
