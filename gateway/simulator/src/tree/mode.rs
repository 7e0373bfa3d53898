//! Mode strings as Go's `os.FileMode.String()` writes them (§4.7): flag letters, or one `-`, then nine `rwx`.

const KIND: u32 = 0o170_000;
const SOCKET: u32 = 0o140_000;
const LINK: u32 = 0o120_000;
const BLOCK: u32 = 0o060_000;
const DIRECTORY: u32 = 0o040_000;
const CHARACTER: u32 = 0o020_000;
const FIFO: u32 = 0o010_000;
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Link,
    Special,
}

/// The kind of a `st_mode`.
pub(crate) fn kind(mode: u32) -> Kind {
    match mode & KIND {
        DIRECTORY => Kind::Directory,
        LINK => Kind::Link,
        SOCKET | BLOCK | CHARACTER | FIFO => Kind::Special,
        _ => Kind::File,
    }
}

/// A `st_mode` as text. Letters stand in the order `d L D p S u g c t` of Go's table.
pub(crate) fn text(mode: u32) -> String {
    let mut flags = String::with_capacity(12);
    let kind = mode & KIND;
    for (letter, set) in [
        ('d', kind == DIRECTORY),
        ('L', kind == LINK),
        ('D', kind == BLOCK || kind == CHARACTER),
        ('p', kind == FIFO),
        ('S', kind == SOCKET),
        ('u', mode & SETUID != 0),
        ('g', mode & SETGID != 0),
        ('c', kind == CHARACTER),
        ('t', mode & STICKY != 0),
    ] {
        if set {
            flags.push(letter);
        }
    }
    if flags.is_empty() {
        flags.push('-');
    }
    for place in (0..9).rev() {
        let letter = match place % 3 {
            2 => 'r',
            1 => 'w',
            _ => 'x',
        };
        flags.push(if mode >> place & 1 == 1 { letter } else { '-' });
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_go_writes_them() {
        for (mode, expected) in [
            (0o040_755, "drwxr-xr-x"),
            (0o100_644, "-rw-r--r--"),
            (0o120_777, "Lrwxrwxrwx"),
            (0o041_777, "dtrwxrwxrwx"),
            (0o104_755, "urwxr-xr-x"),
            (0o102_755, "grwxr-xr-x"),
            (0o106_755, "ugrwxr-xr-x"),
            (0o042_755, "dgrwxr-xr-x"),
            (0o020_666, "Dcrw-rw-rw-"),
            (0o060_660, "Drw-rw----"),
            (0o010_644, "prw-r--r--"),
            (0o140_777, "Srwxrwxrwx"),
            (0o100_000, "----------"),
        ] {
            assert_eq!(text(mode), expected);
        }
    }
}
