//! Conditional requests, several ranges, and locks go through `dav-server`, which does those well (D36). It sees one object that was
//! resolved before, with dates it cannot panic on and reads that fail instead of ending early (docs/webdav-clients.md §1.4).

use std::fmt;
use std::io::SeekFrom;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};
use dav_server::davpath::DavPath;
use dav_server::fakels::FakeLs;
use dav_server::fs::{
    DavDirEntry, DavFile, DavMetaData, FsError, FsFuture, FsStream, GuardedFileSystem, OpenOptions, ReadDirMeta,
};
use dav_server::{DavConfig, DavHandler, DavMethodSet};
use http::{Request, Response};
use http_body_util::Full;
use vfs::{Attributes, Call, Node, NodeKind, Vfs};

use crate::body::Body;
use crate::content::send::{PIECE, read};
use crate::dates::clamped;
use crate::entity;

/// The object of a request.
#[derive(Clone)]
pub(crate) struct Target {
    /// The object.
    pub node: Node,
    /// Attributes of the version that will be read.
    pub attributes: Attributes,
    /// Target of a link, which is its content.
    pub link: Option<Bytes>,
    /// For reading.
    pub call: Call,
}

/// `dav-server` over one object.
pub(crate) struct Conditional {
    handler: DavHandler<Arc<Target>>,
}

impl Conditional {
    /// Reads through this model.
    pub(crate) fn new(vfs: Vfs) -> Conditional {
        let config: DavConfig<Arc<Target>> = DavConfig::new()
            .filesystem(Box::new(Objects { vfs }))
            .locksystem(FakeLs::new())
            .methods(DavMethodSet::WEBDAV_RW)
            .read_buf_size(PIECE as usize)
            .autoindex(false);
        Conditional { handler: config.build_handler() }
    }

    /// Answers a request about `target`.
    pub(crate) async fn answer(
        &self,
        request: Request<Full<Bytes>>,
        principal: &str,
        target: Target,
    ) -> Response<Body> {
        self.handler.handle_guarded(request, principal.to_owned(), Arc::new(target)).await.map(Body::Dav)
    }
}

#[derive(Clone)]
struct Objects {
    vfs: Vfs,
}

impl GuardedFileSystem<Arc<Target>> for Objects {
    fn open<'a>(
        &'a self,
        _: &'a DavPath,
        options: OpenOptions,
        target: &'a Arc<Target>,
    ) -> FsFuture<'a, Box<dyn DavFile>> {
        Box::pin(async move {
            if options.write || options.create || options.create_new || options.truncate || options.append {
                return Err(FsError::Forbidden);
            }
            let object: Box<dyn DavFile> =
                Box::new(Object { vfs: self.vfs.clone(), target: target.clone(), offset: 0 });
            Ok(object)
        })
    }

    fn read_dir<'a>(
        &'a self,
        _: &'a DavPath,
        _: ReadDirMeta,
        _: &'a Arc<Target>,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        Box::pin(async { Err(FsError::Forbidden) })
    }

    fn metadata<'a>(&'a self, _: &'a DavPath, target: &'a Arc<Target>) -> FsFuture<'a, Box<dyn DavMetaData>> {
        Box::pin(async move {
            let metadata: Box<dyn DavMetaData> =
                Box::new(Metadata { node: target.node, attributes: target.attributes });
            Ok(metadata)
        })
    }
}

#[derive(Debug, Clone)]
struct Metadata {
    node: Node,
    attributes: Attributes,
}

impl DavMetaData for Metadata {
    fn len(&self) -> u64 {
        self.attributes.size.unwrap_or(0)
    }

    fn modified(&self) -> Result<SystemTime, FsError> {
        let modified = self.attributes.modified.ok_or(FsError::NotImplemented)?;
        let seconds = u64::try_from(clamped(modified)).unwrap_or(0);
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn is_dir(&self) -> bool {
        self.node.kind == NodeKind::Directory
    }

    fn etag(&self) -> Option<String> {
        entity::tag_text(&self.node, &self.attributes)
    }
}

struct Object {
    vfs: Vfs,
    target: Arc<Target>,
    offset: u64,
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Object({:?})", self.target.node.own)
    }
}

impl DavFile for Object {
    fn metadata(&'_ mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let metadata = Metadata { node: self.target.node, attributes: self.target.attributes };
        Box::pin(async move {
            let metadata: Box<dyn DavMetaData> = Box::new(metadata);
            Ok(metadata)
        })
    }

    fn write_buf(&'_ mut self, _: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        Box::pin(async { Err(FsError::Forbidden) })
    }

    fn write_bytes(&'_ mut self, _: Bytes) -> FsFuture<'_, ()> {
        Box::pin(async { Err(FsError::Forbidden) })
    }

    fn read_bytes(&'_ mut self, count: usize) -> FsFuture<'_, Bytes> {
        Box::pin(async move {
            let bytes = match &self.target.link {
                Some(link) => {
                    let start = usize::try_from(self.offset).unwrap_or(usize::MAX).min(link.len());
                    link.slice(start..link.len().min(start.saturating_add(count)))
                }
                None => self.read(count).await?,
            };
            // An empty piece would be filled with zeros by the caller: that must never look like content.
            if bytes.is_empty() && count > 0 {
                return Err(FsError::GeneralFailure);
            }
            self.offset += bytes.len() as u64;
            Ok(bytes)
        })
    }

    fn seek(&'_ mut self, position: SeekFrom) -> FsFuture<'_, u64> {
        let size = self.target.attributes.size.unwrap_or(0);
        let offset = match position {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => size.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.offset.checked_add_signed(delta),
        };
        Box::pin(async move {
            self.offset = offset.ok_or(FsError::GeneralFailure)?;
            Ok(self.offset)
        })
    }

    fn flush(&'_ mut self) -> FsFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Object {
    async fn read(&self, count: usize) -> Result<Bytes, FsError> {
        let target = &self.target;
        let length = u32::try_from(count).unwrap_or(PIECE).min(PIECE);
        let data = read(&self.vfs, &target.node, self.offset, length, &target.call).await.map_err(|error| {
            tracing::warn!(%error, "a content could not be read to its end");
            FsError::GeneralFailure
        })?;
        if data.attributes.size != target.attributes.size {
            return Err(FsError::GeneralFailure);
        }
        let first = data.segments.into_iter().find(|segment| !segment.is_empty());
        Ok(first.unwrap_or_default())
    }
}
