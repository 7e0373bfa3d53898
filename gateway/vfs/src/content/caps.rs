//! How much of a file opening it may collect, by its name (D15).

use crate::path::EndpointPath;
use crate::settings::Settings;

/// What an investigation always needs is collected whole up to this size.
const EVIDENCE: u64 = 2 << 30;
const EVIDENCE_NAMES: [&str; 16] = [
    "$mft",
    "$logfile",
    "srudb.dat",
    "ntds.dit",
    "system",
    "software",
    "sam",
    "security",
    "default",
    "components",
    "drivers",
    "bbi",
    "ntuser.dat",
    "usrclass.dat",
    "amcache.hve",
    "syscache.hve",
];
const EVIDENCE_ENDINGS: [&str; 1] = [".evtx"];
/// Large, and of no use to whoever only opens them by the way.
const NEVER_NAMES: [&str; 4] = ["pagefile.sys", "hiberfil.sys", "swapfile.sys", "kcore"];
const NEVER_ENDINGS: [&str; 2] = [".vmdk", ".vhdx"];

/// Bytes that opening `file` may collect whole; `None` if it is only collected when somebody asks for it.
pub(super) fn automatic(settings: &Settings, file: &EndpointPath) -> Option<u64> {
    let name = file.name().unwrap_or_default().to_ascii_lowercase();
    let is_one_of = |names: &[&str], endings: &[&str]| {
        names.contains(&name.as_str()) || endings.iter().any(|ending| name.ends_with(ending))
    };
    if is_one_of(&NEVER_NAMES, &NEVER_ENDINGS) {
        return None;
    }
    let cap = settings.automatic_collection_bytes;
    Some(if is_one_of(&EVIDENCE_NAMES, &EVIDENCE_ENDINGS) { cap.max(EVIDENCE) } else { cap })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointId;

    #[test]
    fn evidence_may_be_larger_and_memory_files_are_never_collected_by_the_way() {
        let settings = Settings::default();
        let root = EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto");
        for (name, cap) in [
            ("$MFT", Some(EVIDENCE)),
            ("NTUSER.DAT", Some(EVIDENCE)),
            ("Security.evtx", Some(EVIDENCE)),
            ("notes.txt", Some(settings.automatic_collection_bytes)),
            ("pagefile.sys", None),
            ("Disk1.VMDK", None),
        ] {
            assert_eq!(automatic(&settings, &root.child(name).unwrap()), cap, "{name}");
        }
    }
}
