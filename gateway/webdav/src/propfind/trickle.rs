//! davfs2 shows every error on a directory as an empty directory and gives up after 30 silent seconds (docs/webdav-clients.md §2.4,
//! §2.7). For it alone the answer begins before the listing is there, white space keeps it waiting, and a failure is an entry that
//! says so (D37).

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};
use vfs::{Attributes, Call, Error, ErrorKind, FileType, Listing, Node, NodeKind, Vfs};

use crate::body::Frames;
use crate::propfind::encode::{Encoder, Resource};
use crate::propfind::property::CLOSING;

/// The entry that says that a directory could not be listed.
pub(crate) const MARKER: &str = "!raptorgate - NOT LISTED.txt";
/// Time between two signs of life.
const PAUSE: Duration = Duration::from_secs(5);
/// Time after which even a flow that lives is not waited for.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Waits for a listing as long as it takes, with a sign of life every few seconds.
pub(crate) struct Waiting {
    vfs: Vfs,
    directory: Node,
    call: Call,
    since: Instant,
}

impl Waiting {
    /// For the listing of `directory`.
    pub(crate) fn new(vfs: Vfs, directory: Node, mut call: Call) -> Waiting {
        call.hold = PAUSE;
        Waiting { vfs, directory, call, since: Instant::now() }
    }

    /// A frame of white space, then whatever `then` makes of the end.
    pub(crate) fn frames(
        self,
        opening: Vec<u8>,
        then: impl FnOnce(Result<Listing, Error>) -> Frames + Send + 'static,
    ) -> Frames {
        let start = stream::once(async move { Ok(Bytes::from(opening)) });
        let rest = stream::unfold(Some((self, then)), |state| async move {
            let (waiting, then) = state?;
            Some(match waiting.step().await {
                None => (stream::once(async { Ok(Bytes::from_static(b"\n")) }).boxed(), Some((waiting, then))),
                Some(end) => (then(end), None),
            })
        });
        Box::pin(start.chain(rest.flatten()))
    }

    /// One wait; `None` if a sign of life is due.
    async fn step(&self) -> Option<Result<Listing, Error>> {
        let due = sleep(PAUSE);
        tokio::pin!(due);
        let list = self.vfs.list(&self.directory, &self.call);
        tokio::select! {
            listing = list => match listing {
                Err(error) if matches!(error.kind(), ErrorKind::Later { .. }) && self.since.elapsed() < PATIENCE => {
                    due.await;
                    None
                }
                end => Some(end),
            },
            () = &mut due => None,
        }
    }
}

/// The rest of an answer for a directory that could not be listed: itself, and the marker.
pub(crate) fn not_listed(
    mut encoder: Encoder,
    node: &Node,
    attributes: &Attributes,
    href: &str,
    name: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    encoder.write(&mut out, href.as_bytes(), true, &Resource { node, attributes, name, link: None });
    let (marker, attributes) = marker();
    encoder.write(
        &mut out,
        href.as_bytes(),
        false,
        &Resource { node: &marker, attributes: &attributes, name: MARKER, link: None },
    );
    out.extend_from_slice(CLOSING);
    out
}

/// The marker as an object: an empty file of no time.
pub(crate) fn marker() -> (Node, Attributes) {
    let attributes = Attributes {
        file_type: FileType::Regular,
        mode: 0o444,
        size: Some(0),
        fsid: 1,
        file_id: 1,
        accessed: None,
        modified: None,
        changed: None,
        born: None,
        collected: true,
    };
    (Node { kind: NodeKind::Meta, ..Node::ROOT }, attributes)
}

/// One frame.
pub(crate) fn once(bytes: Vec<u8>) -> Frames {
    Box::pin(stream::once(async move { Ok(Bytes::from(bytes)) }))
}

/// No frame but a failure, which aborts the connection.
pub(crate) fn broken(error: Error) -> Frames {
    Box::pin(stream::once(async move { Err(io::Error::other(error)) }))
}
