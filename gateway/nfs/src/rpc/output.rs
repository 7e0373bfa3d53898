//! Bytes that wait for a socket: encoded replies in one growing buffer, shared payload between its pieces, written together.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::reply::Finished;

/// Pieces given to one `writev`.
const SLICES: usize = 64;
/// Replies up to this size are copied behind others rather than written as pieces of their own.
const COPIED: usize = 4096;

/// The queue in front of a socket.
#[derive(Debug, Default)]
pub(crate) struct Output {
    chunks: VecDeque<Bytes>,
    chunk_bytes: usize,
    /// What was encoded last; replies are appended to it.
    tail: BytesMut,
    /// The stream took bytes that it may still hold back (TLS does, while the socket is full).
    unflushed: bool,
}

impl Output {
    /// Bytes that wait.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// Everything is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.queued() == 0 && !self.unflushed
    }

    /// The buffer to append the next reply to; it comes back with [`Output::put_back`] or [`Output::complete`].
    #[inline]
    pub(crate) fn take_tail(&mut self) -> BytesMut {
        std::mem::take(&mut self.tail)
    }

    /// Gives the buffer back with nothing new in it.
    pub(crate) fn put_back(&mut self, tail: BytesMut) {
        self.tail = tail;
    }

    /// Gives the buffer back with a reply at its end.
    #[inline]
    pub(crate) fn complete(&mut self, reply: Finished) {
        self.tail = reply.buffer;
        self.add_payload(reply.payload);
    }

    /// Adds a reply that was encoded elsewhere.
    pub(crate) fn push(&mut self, reply: Finished) {
        if reply.buffer.len() <= COPIED {
            self.tail.extend_from_slice(&reply.buffer);
        } else {
            self.close_tail();
            self.chunk_bytes += reply.buffer.len();
            self.chunks.push_back(reply.buffer.freeze());
        }
        self.add_payload(reply.payload);
    }

    /// Gives memory back while nothing waits.
    pub(crate) fn release(&mut self, keep: usize) {
        if self.is_empty() {
            if self.tail.capacity() > keep {
                self.tail = BytesMut::new();
            }
            if self.chunks.capacity() > SLICES {
                self.chunks = VecDeque::new();
            }
        }
    }

    /// Writes until the socket takes no more. Ready with the number of bytes once everything is written.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut S,
        written: &mut u64,
    ) -> Poll<io::Result<()>> {
        while self.queued() > 0 {
            let count = {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let pieces = self.chunks.iter().map(|chunk| &chunk[..]).chain(std::iter::once(&self.tail[..]));
                let mut used = 0;
                for (slot, piece) in slices.iter_mut().zip(pieces) {
                    *slot = IoSlice::new(piece);
                    used += 1;
                }
                let slices = slices.get(..used).unwrap_or_default();
                match Pin::new(&mut *socket).poll_write_vectored(context, slices) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            };
            self.unflushed = true;
            *written += count as u64;
            self.advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(socket).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn add_payload(&mut self, payload: Vec<Bytes>) {
        if payload.is_empty() {
            return;
        }
        self.close_tail();
        for bytes in payload {
            if !bytes.is_empty() {
                self.chunk_bytes += bytes.len();
                self.chunks.push_back(bytes);
            }
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunk_bytes += self.tail.len();
            self.chunks.push_back(self.tail.split().freeze());
        }
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.chunks.front_mut() {
            if count < front.len() {
                front.advance(count);
                self.chunk_bytes -= count;
                return;
            }
            count -= front.len();
            self.chunk_bytes -= front.len();
            self.chunks.pop_front();
        }
        self.tail.advance(count.min(self.tail.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::Reply;
    use super::*;
    use proptest::prelude::*;

    /// Takes a few bytes of each write, as a full socket does.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            let count = bytes.len().min(this.width);
            this.taken.extend(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            let before = this.taken.len();
            let width = this.width;
            this.taken.extend(slices.iter().flat_map(|slice| slice.iter()).take(width));
            Poll::Ready(Ok(this.taken.len() - before))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn replies_leave_in_order_whatever_the_socket_takes_at_once(
            replies in proptest::collection::vec((0usize..6000, 0usize..3, any::<bool>()), 1..40),
            width in 1usize..5000,
        ) {
            let mut output = Output::default();
            let mut expected: Vec<u8> = Vec::new();
            for (number, (size, segments, inline)) in replies.iter().enumerate() {
                let fill = u8::try_from(number % 251).unwrap();
                let xid = u32::try_from(number).unwrap();
                let buffer = if *inline { output.take_tail() } else { BytesMut::new() };
                let mut reply = Reply::append(buffer, xid);
                reply.opaque(&vec![fill; *size]);
                reply.payload(vec![Bytes::from(vec![fill; *size]); *segments]);
                let mut alone = Reply::new(xid);
                alone.opaque(&vec![fill; *size]);
                alone.payload(vec![Bytes::from(vec![fill; *size]); *segments]);
                let alone = alone.finish();
                expected.extend(&alone.buffer);
                expected.extend(alone.payload.iter().flatten());
                if *inline { output.complete(reply.finish()) } else { output.push(reply.finish()) }
            }
            prop_assert_eq!(output.queued(), expected.len());
            let mut socket = Narrow { taken: Vec::new(), width };
            let mut written = 0;
            let mut context = Context::from_waker(std::task::Waker::noop());
            prop_assert!(output.poll_flush(&mut context, &mut socket, &mut written).is_ready());
            prop_assert_eq!(written as usize, expected.len());
            prop_assert!(socket.taken == expected);
        }
    }
}
