//! Through all that is known below a directory, in the order of its listings, without asking any endpoint.

use vfs::{Attributes, Call, Listing, Node, NodeKind, Profile, Vfs};

/// Directories within each other; deeper ones do not exist on any endpoint.
const DEPTH: usize = 1_040;

/// What a walk meets. Taken apart at once by who walks: a box for each entry would be dearer than the difference.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Met {
    /// A directory, before what is in it; `None`: what is in it is not known, and why.
    Directory { path: Vec<String>, unknown: Option<String> },
    /// Anything else, at an ordinal of a listing.
    Entry { path: Vec<String>, listing: Listing, ordinal: u32, node: Node, attributes: Attributes },
}

/// A walk.
pub(crate) struct Walk {
    vfs: Vfs,
    call: Call,
    profile: Profile,
    levels: Vec<Level>,
    path: Vec<String>,
    next: Option<Node>,
}

struct Level {
    listing: Listing,
    ordinal: u32,
}

impl Walk {
    /// Below `top`. `call` is for what the server holds; endpoints are never asked. Names are spelled for `profile`.
    pub(crate) fn new(vfs: Vfs, top: Node, call: Call, profile: Profile) -> Walk {
        Walk { vfs, call, profile, levels: Vec::new(), path: Vec::new(), next: Some(top) }
    }

    /// The next thing; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Met> {
        if let Some(directory) = self.next.take() {
            return Some(self.enter(directory).await);
        }
        loop {
            let level = self.levels.last_mut()?;
            let ordinal = level.ordinal;
            if ordinal >= level.listing.len() {
                self.levels.pop();
                self.path.pop();
                continue;
            }
            level.ordinal += 1;
            let Some((node, attributes)) = level.listing.entry(ordinal) else { continue };
            let name = level.listing.name(ordinal, self.profile).into_owned();
            if node.kind == NodeKind::Directory {
                self.path.push(name);
                return Some(self.enter(node).await);
            }
            let mut path = self.path.clone();
            path.push(name);
            return Some(Met::Entry { path, listing: level.listing.clone(), ordinal, node, attributes });
        }
    }

    async fn enter(&mut self, directory: Node) -> Met {
        let path = self.path.clone();
        let unknown = if self.levels.len() >= DEPTH {
            Some("too deep".to_owned())
        } else {
            match known(&self.vfs, &directory, &self.call).await {
                Ok(Some(listing)) => {
                    self.levels.push(Level { listing, ordinal: 0 });
                    return Met::Directory { path, unknown: None };
                }
                Ok(None) => Some("never listed".to_owned()),
                Err(error) => Some(error.message().to_owned()),
            }
        };
        self.path.pop();
        Met::Directory { path, unknown }
    }
}

/// The listing of a directory as far as that costs no endpoint anything.
async fn known(vfs: &Vfs, directory: &Node, call: &Call) -> vfs::Result<Option<Listing>> {
    match vfs.known_listing(directory).await? {
        Some(listing) => Ok(Some(listing)),
        None if vfs.is_on_endpoint(directory).await? => Ok(None),
        None => vfs.list(directory, call).await.map(Some),
    }
}
