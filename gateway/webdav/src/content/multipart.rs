//! Several ranges in one answer (RFC 9110 §14.6), each made only when the one before was sent. Our own and not `dav-server`'s, whose
//! parts end in bare line feeds and are told apart by a word that evidence may contain.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures_util::stream;

use super::send::Rest;
use crate::body::{Body, Frames};

/// The parts of an answer.
pub(super) struct Parts {
    boundary: String,
    media: &'static str,
    size: u64,
    left: VecDeque<(u64, u64)>,
    rest: Rest,
    is_inside: bool,
}

impl Parts {
    /// Of these ranges (offset and count) of a content of `size` bytes, which `rest` reads.
    pub(super) fn new(media: &'static str, size: u64, ranges: &[(u64, u64)], rest: Rest) -> io::Result<Parts> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let boundary = format!("{:032x}", u128::from_le_bytes(random));
        Ok(Parts { boundary, media, size, left: ranges.iter().copied().collect(), rest, is_inside: false })
    }

    /// The value of Content-Type.
    pub(super) fn media(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// As a body of exactly its length.
    pub(super) fn body(self) -> Body {
        let parts = self.left.iter().map(|range| self.opening(*range).len() as u64 + range.1);
        let remaining = parts.sum::<u64>() + self.closing().len() as u64;
        let frames: Frames = Box::pin(stream::try_unfold(Some(self), |parts| async move {
            let Some(mut parts) = parts else { return Ok(None) };
            Ok(Some(match parts.next().await? {
                Some(frame) => (frame, Some(parts)),
                None => (parts.closing().into(), None),
            }))
        }));
        Body::Exact { frames, remaining }
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.is_inside
            && let Some(piece) = self.rest.piece().await?
        {
            return Ok(Some(piece));
        }
        let Some(range) = self.left.pop_front() else { return Ok(None) };
        self.rest.go_to(range.0, range.1);
        self.is_inside = true;
        Ok(Some(self.opening(range).into()))
    }

    fn opening(&self, (offset, count): (u64, u64)) -> String {
        let last = offset + count - 1;
        let Parts { boundary, media, size, .. } = self;
        format!("\r\n--{boundary}\r\nContent-Type: {media}\r\nContent-Range: bytes {offset}-{last}/{size}\r\n\r\n")
    }

    fn closing(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }
}
