//! Content as it is sent: pieces straight from the model's cache, one version from the first byte to the last.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures_util::stream;
use vfs::{Attributes, Call, Data, Node, Vfs};

use crate::body::{Body, Frames};

/// Bytes asked for at once.
pub(crate) const PIECE: u32 = 1 << 20;

/// The rest of a content that is being sent.
pub(crate) struct Rest {
    vfs: Vfs,
    file: Node,
    call: Call,
    size: Option<u64>,
    offset: u64,
    remaining: u64,
    ready: VecDeque<Bytes>,
}

impl Rest {
    /// `count` bytes from `offset` on of the version with these attributes; `first` is what was read already there.
    pub(crate) fn new(
        vfs: Vfs,
        file: Node,
        call: Call,
        attributes: &Attributes,
        offset: u64,
        count: u64,
        first: Data,
    ) -> Rest {
        let mut rest =
            Rest { vfs, file, call, size: attributes.size, offset, remaining: count, ready: VecDeque::new() };
        rest.take(first);
        rest
    }

    /// Bytes that were not sent yet.
    pub(crate) fn unsent(&self) -> u64 {
        self.remaining + self.ready.iter().map(|piece| piece.len() as u64).sum::<u64>()
    }

    /// Goes on elsewhere in the same content, with what was read there already if it is there.
    pub(crate) fn go_to(&mut self, offset: u64, count: u64) {
        let is_read = self.offset.checked_sub(self.ready.iter().map(|piece| piece.len() as u64).sum()) == Some(offset);
        if !is_read {
            self.ready.clear();
            (self.offset, self.remaining) = (offset, count);
        }
    }

    /// As a body of exactly that length.
    pub(crate) fn body(mut self) -> Body {
        let length = self.unsent();
        if self.remaining == 0 && self.ready.len() <= 1 {
            return Body::Once(self.ready.pop_front().unwrap_or_default());
        }
        let frames: Frames = Box::pin(stream::try_unfold(self, |mut rest| async move {
            let piece = rest.piece().await?;
            Ok(piece.map(|piece| (piece, rest)))
        }));
        Body::Exact { frames, remaining: length }
    }

    /// The next piece; `None` when all was sent.
    pub(crate) async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(piece) = self.ready.pop_front() {
            return Ok(Some(piece));
        }
        if self.remaining == 0 {
            return Ok(None);
        }
        let length = u32::try_from(self.remaining.min(u64::from(PIECE))).unwrap_or(PIECE);
        let data = read(&self.vfs, &self.file, self.offset, length, &self.call).await.map_err(io::Error::other)?;
        if data.attributes.size != self.size {
            return Err(io::Error::other("the content changed while it was being sent"));
        }
        if data.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content ended before its length"));
        }
        self.take(data);
        Ok(self.ready.pop_front())
    }

    /// Queues what was read, cut to what is wanted.
    fn take(&mut self, data: Data) {
        for mut segment in data.segments {
            let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
            segment.truncate(wanted);
            if segment.is_empty() {
                continue;
            }
            self.offset += segment.len() as u64;
            self.remaining -= segment.len() as u64;
            self.ready.push_back(segment);
        }
    }
}

/// Content from memory if it is there, else by waiting.
pub(crate) async fn read(vfs: &Vfs, file: &Node, offset: u64, length: u32, call: &Call) -> vfs::Result<Data> {
    match vfs.read_now(file, offset, length, call) {
        Some(data) => data,
        None => vfs.read(file, offset, length, call).await,
    }
}
