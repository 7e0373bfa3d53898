//! Links that cannot leave the endpoint (D1): a target that stays inside its accessor is served as it is; one that is absolute or
//! climbs out is served through `.raptorgate/root`, which is the accessor's root of the same endpoint.

use std::sync::Arc;

use crate::endpoint::System;
use crate::meta::META;

/// The target to serve for a link in the directory with these components. `raw` is what the endpoint says.
pub(crate) fn safe_target(raw: &str, directory: &[Arc<str>], system: System) -> String {
    if system == System::Windows {
        return windows_target(raw, directory);
    }
    if !raw.starts_with('/') && stays_inside(raw.split('/'), directory.len()) {
        return raw.to_owned();
    }
    let start: &[Arc<str>] = if raw.starts_with('/') { &[] } else { directory };
    through_root(resolve(raw.split('/'), start))
}

fn windows_target(raw: &str, directory: &[Arc<str>]) -> String {
    let plain = raw.strip_prefix(r"\??\").or_else(|| raw.strip_prefix(r"\\?\")).unwrap_or(raw);
    let separators = ['\\', '/'];
    let has_drive = matches!(plain.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    let is_absolute = has_drive || plain.starts_with(separators) || plain.len() != raw.len();
    if !is_absolute && stays_inside(plain.split(separators), directory.len()) {
        return plain.replace('\\', "/");
    }
    // A path from the current drive begins at the drive's root; one with a drive letter names the drive itself.
    let start: &[Arc<str>] = match (is_absolute, has_drive) {
        (true, true) => &[],
        (true, false) => directory.get(..1).unwrap_or_default(),
        (false, _) => directory,
    };
    through_root(resolve(plain.split(separators), start))
}

/// Whether walking along `parts` from a directory that lies `depth` levels deep ever leaves the root.
fn stays_inside<'a>(parts: impl Iterator<Item = &'a str>, depth: usize) -> bool {
    let mut level = depth;
    for part in parts {
        match part {
            "" | "." => {}
            ".." => match level.checked_sub(1) {
                Some(up) => level = up,
                None => return false,
            },
            _ => level += 1,
        }
    }
    true
}

fn resolve<'a>(parts: impl Iterator<Item = &'a str>, start: &[Arc<str>]) -> Vec<String> {
    let mut resolved: Vec<String> = start.iter().map(ToString::to_string).collect();
    for part in parts {
        match part {
            "" | "." => {}
            ".." => {
                resolved.pop();
            }
            _ => resolved.push(part.to_owned()),
        }
    }
    resolved
}

fn through_root(components: Vec<String>) -> String {
    let mut target = format!("{META}/root");
    for component in components {
        target.push('/');
        target.push_str(&component);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(path: &str) -> Vec<Arc<str>> {
        path.split('/').filter(|part| !part.is_empty()).map(Arc::from).collect()
    }

    #[test]
    fn links_that_stay_inside_are_served_as_they_are() {
        for raw in ["b", "../x/y", "./a/../b", "a//b", ""] {
            assert_eq!(safe_target(raw, &at("home/alice"), System::Linux), raw);
        }
    }

    #[test]
    fn links_that_climb_out_lead_to_the_endpoints_own_root() {
        let here = at("home/alice");
        assert_eq!(safe_target("/etc/passwd", &here, System::Linux), ".raptorgate/root/etc/passwd");
        assert_eq!(safe_target("../../../../etc/passwd", &here, System::Linux), ".raptorgate/root/etc/passwd");
        assert_eq!(safe_target("/", &here, System::Linux), ".raptorgate/root");
        assert_eq!(safe_target("../../../home/bob", &here, System::Linux), ".raptorgate/root/home/bob");
    }

    #[test]
    fn junctions_name_drives() {
        let here = at("C:/Users");
        assert_eq!(safe_target(r"C:\ProgramData", &here, System::Windows), ".raptorgate/root/C:/ProgramData");
        assert_eq!(safe_target(r"\??\D:\x", &here, System::Windows), ".raptorgate/root/D:/x");
        assert_eq!(safe_target(r"\Windows", &here, System::Windows), ".raptorgate/root/C:/Windows");
        assert_eq!(safe_target(r"..\Public", &here, System::Windows), "../Public");
    }

    proptest! {
        #[test]
        fn no_target_leaves_the_endpoint(raw in "[./a\\\\:C?]{0,24}", depth in 0usize..4, windows: bool) {
            let directory: Vec<Arc<str>> = (0..depth).map(|level| Arc::from(format!("d{level}"))).collect();
            let system = if windows { System::Windows } else { System::Linux };
            let target = safe_target(&raw, &directory, system);
            prop_assert!(!target.starts_with('/'));
            prop_assert!(stays_inside(target.split('/'), depth), "{}", target);
        }
    }
}
