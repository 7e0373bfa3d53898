//! The streams of an HTTP/2 connection: whether one waits for a client that does not take its answer, and whether there is none at all.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::body::Body;

/// All streams of one connection.
pub(crate) struct Streams {
    known: Mutex<Known>,
}

struct Known {
    streams: Vec<Weak<Stream>>,
    /// The last time that one was there.
    busy: Instant,
}

/// One request and its answer.
pub(crate) struct Stream {
    /// Since when the client could have taken more and has not.
    offered: Mutex<Option<Instant>>,
}

/// What is the matter with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No stream, for so long.
    Idle(Duration),
    /// The longest that a stream waits for its client.
    Stalled(Duration),
    /// Every stream waits for us.
    Working,
}

impl Streams {
    /// None yet.
    pub(crate) fn new() -> Streams {
        Streams { known: Mutex::new(Known { streams: Vec::new(), busy: Instant::now() }) }
    }

    /// A request came in.
    pub(crate) fn begin(&self) -> Arc<Stream> {
        let stream = Arc::new(Stream { offered: Mutex::new(None) });
        self.known.lock().unwrap_or_else(PoisonError::into_inner).streams.push(Arc::downgrade(&stream));
        stream
    }

    /// How it is.
    pub(crate) fn state(&self, now: Instant) -> State {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.streams.retain(|stream| stream.strong_count() > 0);
        if known.streams.is_empty() {
            return State::Idle(now - known.busy);
        }
        known.busy = now;
        let offered = known.streams.iter().filter_map(Weak::upgrade).filter_map(|stream| stream.offered());
        offered.min().map_or(State::Working, |since| State::Stalled(now - since))
    }
}

impl Stream {
    fn offered(&self) -> Option<Instant> {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, offered: Option<Instant>) {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = offered;
    }

    /// The answer, watched until it is gone.
    pub(crate) fn watch(self: Arc<Self>, body: Body) -> Watched {
        self.set(Some(Instant::now()));
        Watched { body, stream: self }
    }
}

/// A body that notes when the client takes no more of it: hyper asks for a frame only when there is room for one.
pub(crate) struct Watched {
    body: Body,
    stream: Arc<Stream>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.stream.set(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_stalled_or_at_work() {
        let streams = Streams::new();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(streams.state(Instant::now()), State::Idle(Duration::from_secs(3)));
        let stream = streams.begin();
        assert_eq!(streams.state(Instant::now()), State::Working);
        let frames = futures_util::stream::iter([Ok(Bytes::from_static(b"a"))]).chain(futures_util::stream::pending());
        let mut body = stream.watch(Body::Chunked(Box::pin(frames)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(streams.state(Instant::now()), State::Stalled(Duration::from_secs(2)), "not even begun");
        body.frame().await.unwrap().unwrap();
        assert_eq!(streams.state(Instant::now()), State::Stalled(Duration::ZERO));
        assert!(tokio::time::timeout(Duration::from_secs(1), body.frame()).await.is_err());
        assert_eq!(streams.state(Instant::now()), State::Working, "the source makes it wait, not the client");
        drop(body);
        assert_eq!(streams.state(Instant::now()), State::Idle(Duration::ZERO));
    }

    use futures_util::StreamExt;
}
