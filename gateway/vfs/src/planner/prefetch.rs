//! How much more than was asked for a listing takes along (D13): a person's next click should be a cache hit.

use std::sync::Arc;

use crate::attributes::FileType;
use crate::endpoint::System;
use crate::path::EndpointPath;
use crate::store::DirectoryKey;
use crate::tree::Directory;
use crate::vfs::Inner;

/// With more siblings than this the directory is in a wide place of the tree, where looking ahead costs more than it saves.
const SIBLINGS: usize = 200;
/// Below these nothing is listed ahead: virtual file systems, and stores of hundreds of thousands of entries.
const UNIX_NEVER: [&str; 4] = ["proc", "sys", "dev", "run"];
const WINDOWS_NEVER: [&str; 4] = ["winsxs", "servicing", "assembly", "driverstore"];

impl Inner {
    /// Further levels to list with a directory that was never listed.
    pub(super) async fn prefetch_depth(self: &Arc<Self>, directory: &Arc<Directory>, path: &EndpointPath) -> u32 {
        let system = self.endpoints.get(directory.node.export).map_or(System::Unknown, |entry| entry.endpoint().system);
        if !self.settings.prefetch || !may_look_ahead(path, system) {
            return 0;
        }
        let parent = DirectoryKey { export: directory.node.export, own: directory.node.parent };
        let Some(loaded) = self.tree.in_memory(parent).and_then(|parent| parent.loaded()) else {
            return 0;
        };
        let siblings = loaded
            .snapshot
            .rows()
            .iter()
            .filter(|row| row.file_type() == FileType::Directory)
            .take(SIBLINGS + 1)
            .count();
        u32::from(siblings <= SIBLINGS)
    }
}

/// Never at accessor or drive roots, never into virtual file systems or servicing stores.
pub(super) fn may_look_ahead(path: &EndpointPath, system: System) -> bool {
    let roots = if system == System::Windows { 1 } else { 0 };
    if path.components.len() <= roots {
        return false;
    }
    let never: &[&str] = if system == System::Windows { &WINDOWS_NEVER } else { &UNIX_NEVER };
    let watched = if system == System::Windows { &path.components[..] } else { &path.components[..1] };
    !watched.iter().any(|component| never.iter().any(|name| component.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointId;

    fn path(components: &[&str]) -> EndpointPath {
        components.iter().fold(EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto"), |path, name| {
            path.child(name).unwrap()
        })
    }

    #[test]
    fn roots_and_virtual_file_systems_are_listed_alone() {
        for (components, system) in [
            (&[][..], System::Linux),
            (&["proc", "1"], System::Linux),
            (&[], System::Windows),
            (&["C:"], System::Windows),
            (&["C:", "Windows", "WinSxS"], System::Windows),
        ] {
            assert!(!may_look_ahead(&path(components), system), "{components:?}");
        }
        assert!(may_look_ahead(&path(&["home"]), System::Linux));
        assert!(may_look_ahead(&path(&["home", "proc"]), System::Linux));
        assert!(may_look_ahead(&path(&["C:", "Users"]), System::Windows));
    }
}
