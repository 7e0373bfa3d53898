//! Response bodies. A body that promised a length and cannot keep it fails, which makes hyper abort the connection: no client
//! may take a part for the whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

use crate::seats::Answering;

/// Frames that are made while they are sent.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The body of a response.
pub(crate) enum Body {
    /// All of it.
    Once(Bytes),
    /// Exactly `remaining` more bytes.
    Exact {
        /// Where they come from.
        frames: Frames,
        /// How many are still owed.
        remaining: u64,
    },
    /// Sent in chunks until the frames end.
    Chunked(Frames),
    /// From `dav-server`.
    Dav(dav_server::body::Body),
    /// Any of these, and the call that is over when it was sent.
    OfCall {
        /// One of the others.
        body: Box<Body>,
        /// Is over when it is dropped.
        _call: Answering,
    },
}

impl Body {
    /// No body.
    pub(crate) fn empty() -> Body {
        Body::Once(Bytes::new())
    }

    /// The body of the answer to a call, which is not over before it was sent.
    pub(crate) fn of_call(self, call: Option<Answering>) -> Body {
        match (self, call) {
            // It is in the connection's hands at once.
            (Body::Once(bytes), _) => Body::Once(bytes),
            (body, Some(call)) => Body::OfCall { body: Box::new(body), _call: call },
            (body, None) => body,
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::Once(text.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Body::Once(bytes) if bytes.is_empty() => Poll::Ready(None),
            Body::Once(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Body::Chunked(frames) => {
                frames.as_mut().poll_next(context).map(|frame| frame.map(|frame| frame.map(Frame::data)))
            }
            Body::Exact { frames, remaining } => {
                if *remaining == 0 {
                    return Poll::Ready(None);
                }
                let Poll::Ready(frame) = frames.as_mut().poll_next(context) else { return Poll::Pending };
                Poll::Ready(Some(match frame {
                    None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content ended before its length")),
                    Some(Err(error)) => Err(error),
                    Some(Ok(bytes)) => match remaining.checked_sub(bytes.len() as u64) {
                        None => {
                            Err(io::Error::new(io::ErrorKind::InvalidData, "the content is longer than its length"))
                        }
                        Some(rest) => {
                            *remaining = rest;
                            Ok(Frame::data(bytes))
                        }
                    },
                }))
            }
            Body::Dav(body) => Pin::new(body).poll_frame(context),
            Body::OfCall { body, .. } => Pin::new(&mut **body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Once(bytes) => bytes.is_empty(),
            Body::Exact { remaining, .. } => *remaining == 0,
            Body::Chunked(_) => false,
            Body::Dav(body) => body.is_end_stream(),
            Body::OfCall { body, .. } => http_body::Body::is_end_stream(&**body),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Once(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Exact { remaining, .. } => SizeHint::with_exact(*remaining),
            Body::Chunked(_) => SizeHint::default(),
            Body::Dav(body) => http_body::Body::size_hint(body),
            Body::OfCall { body, .. } => http_body::Body::size_hint(&**body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn exact(pieces: &'static [&'static str], length: u64) -> Body {
        let frames = futures_util::stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))));
        Body::Exact { frames: Box::pin(frames), remaining: length }
    }

    #[tokio::test]
    async fn a_body_that_is_shorter_or_longer_than_promised_fails() {
        assert!(exact(&["abc", "de"], 5).collect().await.is_ok());
        assert!(exact(&["abc", "de"], 6).collect().await.is_err());
        assert!(exact(&["abc", "def"], 5).collect().await.is_err());
    }
}
