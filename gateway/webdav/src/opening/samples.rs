//! What a double click would run, or what runs when Windows only looks at it (D25): programs, scripts, shortcuts, documents with macros.
//! Documents of the old formats may contain macros, too, but are what analysts open all day: they are no samples by name.

const PROGRAMS: [&str; 21] = [
    "exe",
    "dll",
    "sys",
    "scr",
    "com",
    "pif",
    "cpl",
    "ocx",
    "drv",
    "efi",
    "msi",
    "msp",
    "mst",
    "msix",
    "appx",
    "jar",
    "xll",
    "application",
    "gadget",
    "pkg",
    "mpkg",
];
const SCRIPTS: [&str; 24] = [
    "bat",
    "cmd",
    "ps1",
    "psm1",
    "psd1",
    "ps1xml",
    "vb",
    "vbs",
    "vbe",
    "js",
    "jse",
    "wsf",
    "wsh",
    "wsc",
    "sct",
    "hta",
    "chm",
    "reg",
    "inf",
    "msc",
    "command",
    "scpt",
    "applescript",
    "workflow",
];
const SHORTCUTS: [&str; 9] =
    ["lnk", "url", "scf", "library-ms", "search-ms", "searchconnector-ms", "settingcontent-ms", "appref-ms", "website"];
const MACROS: [&str; 11] = ["docm", "dotm", "xlsm", "xltm", "xlam", "xlsb", "pptm", "potm", "ppam", "ppsm", "sldm"];

/// Whether a file of this (raw) name is one. Windows ignores trailing dots and spaces, and a stream has a name of its own.
pub(super) fn may_run(name: &str) -> bool {
    name.split(':').any(|part| {
        let Some((_, extension)) = part.trim_end_matches(['.', ' ']).rsplit_once('.') else { return false };
        let lists: [&[&str]; 4] = [&PROGRAMS, &SCRIPTS, &SHORTCUTS, &MACROS];
        lists.concat().iter().any(|known| known.eq_ignore_ascii_case(extension))
    })
}

/// Whether a content that begins so is a program or a shortcut, whatever it is called.
pub(super) fn is_program(start: &[u8]) -> bool {
    let starts: [&[u8]; 2] = [b"MZ", b"\x4c\x00\x00\x00\x01\x14\x02\x00"];
    starts.iter().any(|known| start.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_told_by_its_name_however_it_is_written() {
        for name in
            ["a.exe", "A.ExE", "x.lnk", "m.docm", "s.ps1", "a.exe.", "a.exe . ", "n.txt:evil.exe", "evil.exe:$DATA"]
        {
            assert!(may_run(name), "{name}");
        }
        for name in ["exe", "a.exe.txt", "notes.txt", "r.docx", "old.doc", "x.pdf", "Security.evtx", ""] {
            assert!(!may_run(name), "{name}");
        }
    }

    #[test]
    fn programs_and_shortcuts_are_told_by_their_content() {
        assert!(is_program(b"MZ\x90\0") && is_program(b"\x4c\0\0\0\x01\x14\x02\0\0"));
        assert!(!is_program(b"") && !is_program(b"M") && !is_program(b"\x4c\0\0\0"));
    }
}
