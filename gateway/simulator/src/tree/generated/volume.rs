//! The volumes of the Windows-like endpoint, found by any spelling: `C:`, `c:`, `\\.\C:`, a shadow copy.

use crate::clock::Clock;
use crate::seeded;
use crate::tree::entry::write_string;
use crate::tree::generated::index::Index;
use crate::tree::generated::node::{Node, What};
use crate::tree::generated::windows_places;
use crate::tree::mode::Kind;

/// A shadow copy's device name without its number.
const SHADOW: &str = "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy";
const MAX_LINKS: u32 = 16;

/// One volume of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) letter: char,
    /// 0 is the live volume, else the number of the shadow copy.
    pub(super) shadow: u64,
}

/// What all volumes of an endpoint have in common.
pub(super) struct Disk<'a> {
    pub(super) seed: u64,
    pub(super) clock: &'a Clock,
    pub(super) index: &'a Index,
}

/// Letter, size in bytes, file system.
const DRIVES: [(char, u64, &str); 3] =
    [('C', 511_101_108_224, "NTFS"), ('D', 10_995_116_277_760, "NTFS"), ('E', 31_914_983_424, "FAT32")];
const SHADOWS: u64 = 3;

impl Volume {
    /// The volume that a first component names through the OS API.
    pub(super) fn of_drive(component: &str) -> Option<Self> {
        let mut letters = component.strip_suffix(':')?.chars();
        let letter = letters.next()?.to_ascii_uppercase();
        let known = letters.next().is_none() && DRIVES.iter().any(|drive| drive.0 == letter);
        known.then_some(Self { letter, shadow: 0 })
    }

    /// The volume that a first component names to raw access.
    pub(super) fn of_device(component: &str) -> Option<Self> {
        if let Some(number) = component.strip_prefix(SHADOW) {
            let shadow = number.parse().ok().filter(|number| (1..=SHADOWS).contains(number))?;
            return Some(Self { letter: 'C', shadow });
        }
        let volume = Self::of_drive(component.strip_prefix("\\\\.\\")?)?;
        DRIVES.iter().any(|drive| drive.0 == volume.letter && drive.2 == "NTFS").then_some(volume)
    }

    /// The device's name, as raw access spells it.
    pub(super) fn device(self) -> String {
        if self.shadow > 0 { format!("{SHADOW}{}", self.shadow) } else { format!("\\\\.\\{}:", self.letter) }
    }

    fn hash(self, seed: u64) -> u64 {
        // A shadow copy shows the files of its volume: the same seed.
        seeded::hash(seed, &[self.letter as u8])
    }

    /// The children of a directory of this volume.
    pub(super) fn children(self, seed: u64, clock: &Clock, path: &[String]) -> Option<windows_places::Children> {
        windows_places::children(self.hash(seed), self, clock, path)
    }

    /// The hash that times and record numbers below `path` follow from.
    pub(super) fn path_hash(self, seed: u64, path: &[String]) -> u64 {
        seeded::hash_path(self.hash(seed), path)
    }

    /// Finds a node without regard to case, following links above it (and at it, if asked). The path that comes back
    /// has the spelling of the disk.
    pub(super) fn find(self, disk: &Disk<'_>, path: &[String], follow_last: bool) -> Option<(Vec<String>, Node)> {
        let mut pending: Vec<String> = path.iter().rev().cloned().collect();
        let mut resolved: Vec<String> = Vec::new();
        let mut node = Node::directory("");
        let mut links = 0;
        while let Some(component) = pending.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." => {
                    resolved.pop();
                    node = Node::directory("");
                    continue;
                }
                _ => {}
            }
            let found = self.child(disk, &resolved, &component)?;
            match &found.what {
                What::Link(target) if follow_last || !pending.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    let mut parts: Vec<String> = target.split('\\').map(str::to_string).collect();
                    if parts.first().is_some_and(|first| Self::of_drive(first) == Some(self)) {
                        parts.remove(0);
                        resolved.clear();
                    }
                    pending.extend(parts.into_iter().rev());
                    node = Node::directory("");
                }
                _ => {
                    if found.kind() != Kind::Directory && !pending.is_empty() {
                        return None;
                    }
                    resolved.push(found.name.clone());
                    node = found;
                }
            }
        }
        Some((resolved, node))
    }

    fn child(self, disk: &Disk<'_>, parent: &[String], name: &str) -> Option<Node> {
        let key = self.path_hash(disk.seed, parent) ^ self.shadow;
        disk.index.child(key, name, true, self.children(disk.seed, disk.clock, parent)?)
    }
}

/// The drives as the OS API lists them: name, size, `_Data`.
pub(super) fn drives() -> Vec<(String, u64, String)> {
    DRIVES
        .iter()
        .map(|(letter, size, kind)| {
            let name = format!("{letter}:");
            (name.clone(), *size, drive_data(&name, *size, kind))
        })
        .collect()
}

/// The volumes and shadow copies as raw access lists them.
pub(super) fn devices() -> Vec<(String, u64, String)> {
    let mut devices: Vec<(String, u64, String)> = DRIVES
        .iter()
        .filter(|drive| drive.2 == "NTFS")
        .map(|(letter, size, kind)| {
            let device = Volume { letter: *letter, shadow: 0 }.device();
            (device.clone(), *size, drive_data(&device, *size, kind))
        })
        .collect();
    for shadow in 1..=SHADOWS {
        let device = Volume { letter: 'C', shadow }.device();
        let mut data = String::from("{\"DeviceObject\":");
        write_string(&mut data, &device);
        data.push_str(&format!(
            ",\"ID\":\"{{5f3c6d1e-0000-4000-8000-{shadow:012}}}\",\"InstallDate\":\"2026{:02}01030000.000000+000\",\
             \"OriginatingMachine\":\"desk-042\",\"VolumeName\":\"\\\\\\\\?\\\\Volume{{aa}}\\\\\"}}",
            7 + shadow
        ));
        devices.push((device, 511_101_108_224, data));
    }
    devices
}

fn drive_data(name: &str, size: u64, kind: &str) -> String {
    let mut data = String::from("{\"Description\":\"Local Fixed Disk\",\"DeviceID\":");
    write_string(&mut data, name);
    data.push_str(&format!(
        ",\"FreeSpace\":\"{}\",\"Size\":\"{size}\",\"SystemName\":\"DESK-042\",\"FileSystem\":\"{kind}\"}}",
        size / 3
    ));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_found_by_every_spelling_and_nothing_else() {
        let live = Volume { letter: 'C', shadow: 0 };
        assert_eq!(Volume::of_drive("C:"), Some(live));
        assert_eq!(Volume::of_drive("c:"), Some(live));
        assert_eq!(Volume::of_device("\\\\.\\C:"), Some(live));
        let shadow = Volume { letter: 'C', shadow: 2 };
        assert_eq!(Volume::of_device(&shadow.device()), Some(shadow));
        for bad in ["Z:", "C", "CC:", ""] {
            assert_eq!(Volume::of_drive(bad), None);
        }
        for bad in ["\\\\.\\E:", "\\\\.\\Z:", "C:", "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy9"] {
            assert_eq!(Volume::of_device(bad), None);
        }
    }
}
