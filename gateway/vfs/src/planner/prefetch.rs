//! How much more than was asked for a listing takes along (D13): a person's next click should be a cache hit.

use std::sync::Arc;

use super::queue::Class;
use super::{Demand, LISTING_LIMITS};
use crate::attributes::FileType;
use crate::backend::Limits;
use crate::endpoint::System;
use crate::node::Identity;
use crate::path::EndpointPath;
use crate::store::{DirectoryKey, Place};
use crate::tree::Directory;
use crate::vfs::Inner;

/// With more siblings than this the directory is in a wide place of the tree, where looking ahead costs more than it saves.
const SIBLINGS: usize = 200;
/// Below these nothing is listed ahead: virtual file systems, and stores of hundreds of thousands of entries.
const UNIX_NEVER: [&str; 4] = ["proc", "sys", "dev", "run"];
/// Where those of Windows are.
const WINDOWS_HOLDERS: [&str; 2] = ["windows", "system32"];
const WINDOWS_NEVER: [&str; 4] = ["winsxs", "servicing", "assembly", "driverstore"];

/// With fewer tokens left than this one listing takes two levels along: the next look would cost one of the last, or wait for one.
const SCARCE: f64 = 5.0;
/// Rows of a listing that takes more than one level along.
const WIDE_ROWS: u64 = 100_000;

/// What a job lists for a demand.
#[derive(Clone)]
pub(super) struct Reach {
    /// The demanded directory, or the one above it.
    pub base: Arc<Directory>,
    pub path: EndpointPath,
    /// Further levels below it.
    pub depth: u32,
    pub limits: Limits,
}

impl Reach {
    /// The demanded directory, `depth` levels deep.
    pub(super) fn own(demand: &Demand, depth: u32) -> Reach {
        Reach { base: demand.directory.clone(), path: demand.path.clone(), depth, limits: LISTING_LIMITS }
    }

    /// Whether it takes so much along that the demanded directory may not come for that reason.
    pub(super) fn is_wide(&self) -> bool {
        self.limits.max_rows < LISTING_LIMITS.max_rows
    }

    fn wide(base: Arc<Directory>, path: EndpointPath) -> Reach {
        Reach { base, path, depth: 2, limits: Limits { max_rows: WIDE_ROWS, ..LISTING_LIMITS } }
    }
}

impl Inner {
    /// What to list for a directory that was never listed: a level more than was wanted; where tokens are scarce, or somebody looks at one
    /// directory after another of those beside it, two levels.
    pub(super) async fn reach_of(self: &Arc<Self>, demand: &Demand, class: Class) -> Reach {
        let system = demand.entry.endpoint().system;
        let own = |depth| Reach::own(demand, depth);
        if !self.settings.prefetch || !may_look_ahead(&demand.path, system) {
            return own(0);
        }
        let above = DirectoryKey { export: demand.directory.node.export, own: demand.directory.node.parent };
        let Some((above, loaded)) = self.tree.in_memory(above).and_then(|above| Some((above.clone(), above.loaded()?)))
        else {
            return own(0);
        };
        let beside = loaded.snapshot.entries().filter(|entry| entry.row.file_type() == FileType::Directory);
        let beside: Vec<Identity> = beside.map(|entry| entry.identity).take(SIBLINGS + 1).collect();
        if beside.len() > SIBLINGS {
            return own(0);
        }
        if class != Class::Person {
            return own(1);
        }
        let is_listed = |own: &Identity| {
            let key = DirectoryKey { export: above.node.export, own: *own };
            self.tree.in_memory(key).is_some_and(|directory| directory.state().listing.is_some())
        };
        let may_go_two_levels = |path: &EndpointPath| may_look_ahead(path, system) && !holds_a_store(path, system);
        match &above.place {
            Place::Endpoint(path) if may_go_two_levels(path) && beside.iter().any(is_listed) => {
                Reach::wide(above.clone(), path.clone())
            }
            _ if demand.entry.tokens(self.clock.now()) < SCARCE && may_go_two_levels(&demand.path) => {
                Reach::wide(demand.directory.clone(), demand.path.clone())
            }
            _ => own(1),
        }
    }
}

/// Whether one of those stores lies directly in this directory: one level of it may be listed, not two.
fn holds_a_store(path: &EndpointPath, system: System) -> bool {
    let name = path.name().unwrap_or_default();
    system == System::Windows && WINDOWS_HOLDERS.iter().any(|holder| name.eq_ignore_ascii_case(holder))
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
