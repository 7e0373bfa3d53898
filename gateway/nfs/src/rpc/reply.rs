//! One reply while it is being encoded: a record marker, the head (RFC 5531 §9), results, and file payload that is never copied.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::admission::AuthStatus;
use super::message::RPC_VERSION;
use crate::metrics::Failure;
use crate::peer::Habits;

const REPLY: u32 = 1;
const MSG_ACCEPTED: u32 = 0;
const MSG_DENIED: u32 = 1;
const SUCCESS: u32 = 0;
const PROG_UNAVAIL: u32 = 1;
const PROG_MISMATCH: u32 = 2;
const PROC_UNAVAIL: u32 = 3;
const GARBAGE_ARGS: u32 = 4;
const RPC_MISMATCH: u32 = 0;
const AUTH_ERROR: u32 = 1;
const AUTH_NONE: u32 = 0;
const STARTTLS: [u32; 2] = [u32::from_be_bytes(*b"STAR"), u32::from_be_bytes(*b"TTLS")];
const LAST_FRAGMENT: u32 = 1 << 31;
const PADDING: [u8; 3] = [0; 3];
/// Bytes of the record marker.
pub(crate) const MARKER: usize = 4;
/// Marker and head of an accepted, successful call.
const HEAD: usize = MARKER + 24;

/// A reply that is being encoded at the end of a buffer that may hold earlier replies.
#[derive(Debug)]
pub(crate) struct Reply {
    buffer: BytesMut,
    start: usize,
    xid: u32,
    payload: Vec<Bytes>,
    payload_bytes: usize,
    failure: Option<Failure>,
    habits: Habits,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Reply {
    /// A reply in a buffer of its own, for a call that had to wait.
    pub(crate) fn new(xid: u32) -> Reply {
        Reply::append(BytesMut::with_capacity(256), xid)
    }

    /// A successful reply at the end of `buffer`; the results follow.
    #[inline]
    pub(crate) fn append(mut buffer: BytesMut, xid: u32) -> Reply {
        let start = buffer.len();
        let mut head = [0; HEAD];
        head[4..8].copy_from_slice(&xid.to_be_bytes());
        head[8..12].copy_from_slice(&REPLY.to_be_bytes());
        // MSG_ACCEPTED, an empty verifier and SUCCESS are all zero
        const { assert!(MSG_ACCEPTED == 0 && SUCCESS == 0) };
        buffer.extend_from_slice(&head);
        Reply {
            buffer,
            start,
            xid,
            payload: Vec::new(),
            payload_bytes: 0,
            failure: None,
            habits: Habits::default(),
            permits: Vec::new(),
        }
    }

    /// It goes to a client with these habits.
    #[inline]
    pub(crate) fn respect(&mut self, habits: Habits) {
        self.habits = habits;
    }

    /// Of the client that it goes to.
    #[inline]
    pub(crate) fn habits(&self) -> Habits {
        self.habits
    }

    /// Bytes of results encoded so far, payload not counted.
    #[inline]
    pub(crate) fn results(&self) -> usize {
        self.buffer.len() - self.start - HEAD
    }

    /// Takes back results beyond the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.buffer.truncate(self.start + HEAD + length);
        self.payload.clear();
        self.payload_bytes = 0;
    }

    /// Makes sure that `bytes` more fit without growing.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
    }

    /// Keeps a permit until the reply is in the connection's output queue, whose length is bounded by other means.
    pub(crate) fn keep(&mut self, permit: OwnedSemaphorePermit) {
        self.permits.push(permit);
    }

    /// Notes, for the metrics, that the results say so.
    pub(crate) fn set_failed(&mut self, status: u32) {
        self.failure = Some(Failure::Status(status));
    }

    #[inline]
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Bytes of the whole reply so far.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() - self.start + self.payload_bytes
    }

    #[inline]
    pub(crate) fn u32(&mut self, value: u32) {
        self.buffer.put_u32(value);
    }

    #[inline]
    pub(crate) fn u64(&mut self, value: u64) {
        self.buffer.put_u64(value);
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.u32(u32::from(value));
    }

    /// Items that are encoded already.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Variable-length opaque data or a string.
    #[inline]
    pub(crate) fn opaque(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(padding(bytes.len()));
    }

    /// Variable-length opaque data as the last item, shared with whoever holds the bytes.
    pub(crate) fn payload(&mut self, segments: Vec<Bytes>) {
        let length: usize = segments.iter().map(Bytes::len).sum();
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
        self.payload = segments;
        let padding = padding(length);
        if !padding.is_empty() {
            self.payload.push(Bytes::from_static(match padding.len() {
                1 => &[0],
                2 => &[0; 2],
                _ => &PADDING,
            }));
        }
        self.payload_bytes = length + padding.len();
    }

    /// Writes the record marker; the reply is complete.
    #[inline]
    pub(crate) fn finish(mut self) -> Finished {
        let length = self.buffer.len() - self.start - MARKER + self.payload_bytes;
        let marker = LAST_FRAGMENT | u32::try_from(length).unwrap_or(0);
        if let Some(place) = self.buffer.get_mut(self.start..self.start + MARKER) {
            place.copy_from_slice(&marker.to_be_bytes());
        }
        Finished { buffer: self.buffer, payload: self.payload }
    }

    /// The encoded results alone, for a message that is no reply.
    pub(crate) fn into_results(mut self) -> BytesMut {
        self.buffer.split_off(self.start + HEAD)
    }

    /// Takes everything back; gives the buffer as it was before.
    pub(crate) fn abandon(mut self) -> BytesMut {
        self.buffer.truncate(self.start);
        self.buffer
    }

    // What went wrong instead of results.

    pub(crate) fn rpc_mismatch(self) -> Finished {
        self.denied(&[RPC_MISMATCH, RPC_VERSION, RPC_VERSION])
    }

    pub(crate) fn auth_error(self, status: AuthStatus) -> Finished {
        self.denied(&[AUTH_ERROR, status as u32])
    }

    /// "This server does TLS; begin" (RFC 9289 §4.1): an empty success whose verifier says so.
    pub(crate) fn start_tls(self) -> Finished {
        let [first, second] = STARTTLS;
        self.replaced(&[MSG_ACCEPTED, AUTH_NONE, 8, first, second], &[SUCCESS])
    }

    pub(crate) fn program_unavailable(self) -> Finished {
        self.accepted(&[PROG_UNAVAIL])
    }

    pub(crate) fn program_mismatch(self, low: u32, high: u32) -> Finished {
        self.accepted(&[PROG_MISMATCH, low, high])
    }

    pub(crate) fn procedure_unavailable(self) -> Finished {
        self.accepted(&[PROC_UNAVAIL])
    }

    pub(crate) fn garbage_arguments(self) -> Finished {
        self.accepted(&[GARBAGE_ARGS])
    }

    fn denied(self, words: &[u32]) -> Finished {
        self.replaced(&[MSG_DENIED], words)
    }

    fn accepted(self, words: &[u32]) -> Finished {
        self.replaced(&[MSG_ACCEPTED, 0, 0], words)
    }

    fn replaced(mut self, status: &[u32], words: &[u32]) -> Finished {
        self.buffer.truncate(self.start);
        self.payload.clear();
        self.payload_bytes = 0;
        for word in [0, self.xid, REPLY].iter().chain(status).chain(words) {
            self.buffer.put_u32(*word);
        }
        self.finish()
    }
}

/// A complete reply, behind whatever its buffer held before.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Earlier replies and this one, without its payload.
    pub buffer: BytesMut,
    /// The rest of it.
    pub payload: Vec<Bytes>,
}

/// The zero bytes that fill `length` up to a multiple of four.
fn padding(length: usize) -> &'static [u8] {
    PADDING.get(..length.wrapping_neg() % 4).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shared_and_padded_and_counted_in_the_marker() {
        let data = Bytes::from_static(b"hello");
        let mut reply = Reply::append(BytesMut::from(&b"before"[..]), 7);
        reply.payload(vec![data.clone()]);
        let finished = reply.finish();
        assert_eq!(finished.payload[0].as_ptr(), data.as_ptr());
        let mut wire = finished.buffer.to_vec();
        wire.extend(finished.payload.iter().flatten());
        assert_eq!(&wire[..6], b"before");
        let marker = u32::from_be_bytes(wire[6..10].try_into().unwrap());
        assert_eq!((marker & !LAST_FRAGMENT) as usize, wire.len() - 10);
        assert_eq!(&wire[wire.len() - 12..], b"\0\0\0\x05hello\0\0\0");
    }

    #[test]
    fn an_error_replaces_what_was_encoded() {
        let mut reply = Reply::append(BytesMut::new(), 7);
        reply.opaque(b"half a result");
        let wire = reply.program_mismatch(3, 3).buffer;
        let words: Vec<u32> = wire.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words, [LAST_FRAGMENT | 32, 7, 1, 0, 0, 0, 2, 3, 3]);
    }
}
