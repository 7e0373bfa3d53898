//! The directories `.raptorgate` and `.raptorgate/file`, their look-ups, listings and attributes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;

use super::{ENDPOINT_NAMES, FILES, META, NAMES, ROOT};
use crate::attributes::{Attributes, FILE_MODE, FileType, file_system_id};
use crate::error::{Error, Result};
use crate::listing::Listing;
use crate::node::{Identity, Node, NodeKind};
use crate::principal::Call;
use crate::snapshot::{EntryFields, Rows, Snapshot, Times};
use crate::store::{DirectoryKey, IdentityText, Place};
use crate::timestamp::Timestamp;
use crate::tree::{Directory, Loaded, blocking, gone};
use crate::vfs::{Data, Found, Inner};

/// Contents of the gateway's own files: constant for a moment, so that size and bytes agree.
#[derive(Default)]
pub(crate) struct Metas {
    contents: DashMap<Identity, (Timestamp, Bytes)>,
}

const CONTENT_AGE: Duration = Duration::from_secs(2);
const CONTENTS_KEPT: usize = 256;

impl Inner {
    /// `.raptorgate` of a directory.
    pub(crate) async fn meta_directory(self: &Arc<Self>, of: &Arc<Directory>) -> Result<Found> {
        let place = Place::Meta { of: IdentityText(of.node.own) };
        self.own_directory(of, of, META, place).await
    }

    /// A directory of the gateway's own, remembered so that its handle outlives a restart.
    async fn own_directory(
        self: &Arc<Self>,
        of: &Arc<Directory>,
        parent: &Arc<Directory>,
        name: &str,
        place: Place,
    ) -> Result<Found> {
        // Never that of a real entry of this name.
        let own = self.keys.child(parent.node.own, name, u32::MAX);
        let key = DirectoryKey { export: parent.node.export, own };
        if self.tree.in_memory(key).is_none() {
            let directory = self.tree.known(parent.node.export, parent.node.own, own, place).await?;
            let mut records = vec![(key, directory.record(&directory.state()))];
            if of.place.is_kept() {
                records.push((of.key(), of.record(&of.state())));
            }
            let store = self.store.clone();
            blocking(move || store.put_directories(&records)).await?;
        }
        let directory = self.tree.resolve_key(key).await?;
        Ok(Found { node: directory.node, attributes: self.own_attributes(&directory) })
    }

    /// The directory that a directory of the gateway's own tells about.
    pub(super) async fn subject(self: &Arc<Self>, directory: &Directory) -> Result<Arc<Directory>> {
        let (Place::Meta { of } | Place::MetaFiles { of }) = &directory.place else {
            return Err(gone());
        };
        self.tree.resolve_key(DirectoryKey { export: directory.node.export, own: of.0 }).await
    }

    pub(crate) async fn meta_lookup(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        name: &str,
        call: &Call,
    ) -> Result<Found> {
        let of = self.subject(directory).await?;
        if let Place::MetaFiles { .. } = &directory.place {
            return self.entry_file(directory, &of, name, call).await;
        }
        match name {
            FILES => {
                self.own_directory(&of, directory, FILES, Place::MetaFiles { of: IdentityText(of.node.own) }).await
            }
            ROOT => self.accessor_root(&of).await,
            _ if names(&of).any(|known| known == name) => self.own_file(directory, name).await,
            _ => Err(Error::absent(format!("there is no {name:?} in {META}"))),
        }
    }

    /// The root of the accessor that a directory belongs to.
    async fn accessor_root(self: &Arc<Self>, of: &Arc<Directory>) -> Result<Found> {
        let Place::Endpoint(path) = &of.place else {
            return Err(Error::absent("only directories below an accessor have a root"));
        };
        let endpoint = self.child_identity(Identity::ROOT, &path.endpoint.client_id);
        let own = self.child_identity(endpoint, &path.accessor);
        let place =
            Place::Endpoint(crate::path::EndpointPath::accessor_root(path.endpoint.clone(), path.accessor.clone()));
        let root = self.tree.known(of.node.export, endpoint, own, place).await?;
        // One view further: the kernel must not meet a directory below itself.
        let node = Node { view: 1, ..root.node };
        Ok(Found { node, attributes: self.own_attributes(&root) })
    }

    async fn entry_file(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        of: &Arc<Directory>,
        name: &str,
        call: &Call,
    ) -> Result<Found> {
        let missing = || {
            Error::absent(format!(
                "there is no {name:?} here: names are those of the directory's entries with `.json` appended"
            ))
        };
        let entry_name = name.strip_suffix(".json").ok_or_else(missing)?;
        let loaded = self.tree.load(of).await?.ok_or_else(missing)?;
        let component = call.profile.read(entry_name);
        let entry = loaded.snapshot.by_name(&component, &self.keys).ok_or_else(missing)?;
        self.own_file(directory, &format!("{}.json", entry.row.name())).await
    }

    async fn own_file(self: &Arc<Self>, directory: &Arc<Directory>, name: &str) -> Result<Found> {
        let node = Node {
            kind: NodeKind::Meta,
            export: directory.node.export,
            parent: directory.node.own,
            own: self.child_identity(directory.node.own, name),
            version: 0,
            session: 0,
            view: 0,
        };
        let attributes = self.meta_attributes(&node).await?;
        Ok(Found { node, attributes })
    }

    pub(crate) async fn meta_attributes(self: &Arc<Self>, node: &Node) -> Result<Attributes> {
        let (at, content) = self.meta_content(node).await?;
        Ok(Attributes {
            file_type: FileType::Regular,
            mode: FILE_MODE,
            size: Some(content.len() as u64),
            fsid: file_system_id(node.export, node.session),
            file_id: node.own.file_id(),
            accessed: Some(at),
            modified: Some(at),
            changed: Some(at),
            born: None,
            collected: true,
        })
    }

    pub(crate) async fn meta_read(
        self: &Arc<Self>,
        node: &Node,
        offset: u64,
        length: u32,
        call: &Call,
    ) -> Result<Data> {
        let attributes = self.meta_attributes(node).await?;
        let (_, content) = self.meta_content(node).await?;
        if offset == 0 {
            self.meta_opened(node, call).await?;
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let end = start.saturating_add(length as usize).min(content.len());
        Ok(Data { segments: vec![content.slice(start..end)], eof: end == content.len(), attributes })
    }

    /// The content of one of the gateway's own files, and when it was made.
    async fn meta_content(self: &Arc<Self>, node: &Node) -> Result<(Timestamp, Bytes)> {
        let now = self.clock.now();
        if let Some(kept) = self.metas.contents.get(&node.own)
            && now.since(kept.0) < CONTENT_AGE
        {
            return Ok(kept.clone());
        }
        let directory = self.tree.resolve_key(DirectoryKey { export: node.export, own: node.parent }).await?;
        let content = Bytes::from(self.make_content(&directory, node.own).await?);
        // The same bytes keep their time: a client's cache of them stays good.
        let at = match self.metas.contents.get(&node.own) {
            Some(kept) if kept.1 == content => kept.0,
            _ => now,
        };
        if self.metas.contents.len() >= CONTENTS_KEPT {
            self.metas.contents.retain(|_, (at, _)| now.since(*at) < CONTENT_AGE);
        }
        self.metas.contents.insert(node.own, (at, content.clone()));
        Ok((at, content))
    }

    /// Lists a directory of the gateway's own, for whoever looks into it.
    pub(crate) async fn meta_listing(self: &Arc<Self>, directory: &Arc<Directory>) -> Result<Listing> {
        let of = self.subject(directory).await?;
        let mut rows = Rows::new();
        if let Place::MetaFiles { .. } = &directory.place {
            if let Some(loaded) = self.tree.load(&of).await? {
                for row in loaded.snapshot.rows().iter().filter(|row| !row.unfetchable()) {
                    add(&mut rows, &format!("{}.json", row.name()), FileType::Regular);
                }
            }
        } else {
            for name in names(&of) {
                add(&mut rows, name, FileType::Regular);
            }
            add(&mut rows, FILES, FileType::Directory);
            if matches!(of.place, Place::Endpoint(_)) {
                add(&mut rows, ROOT, FileType::Directory);
            }
        }
        let generation = of.state().generation.max(1);
        let snapshot = Snapshot::seal(rows, directory.node.own, &self.keys);
        Ok(Listing::new(self.clone(), directory.clone(), Arc::new(Loaded { generation, snapshot })))
    }
}

/// What `.raptorgate` of a directory holds.
pub(super) fn names(of: &Directory) -> impl Iterator<Item = &'static str> {
    let further: &[&str] = if matches!(of.place, Place::Accessors(_)) { &ENDPOINT_NAMES } else { &[] };
    NAMES.into_iter().chain(further.iter().copied())
}

fn add(rows: &mut Rows, name: &str, file_type: FileType) {
    let _fits = rows.push(&EntryFields {
        name,
        shown: None,
        file_type,
        mode: 0o444,
        size: 0,
        size_unknown: file_type == FileType::Regular,
        unfetchable: false,
        times: Times::default(),
        link: None,
        inline: None,
        details: None,
    });
}
