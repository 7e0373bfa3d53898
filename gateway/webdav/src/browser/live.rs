//! What a page that is open hears: that it should be loaded again, how far a listing is, and the states of the files that it shows. Looked
//! at a few times a second from memory; nobody who looks starts anything or costs the endpoint anything.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use vfs::{Call, Freshness, Node, NodeKind, Standing, Vfs};
use xxhash_rust::xxh3::xxh3_64;

use super::Pages;
use super::directory::so_far;
use super::order::Wanted;
use super::rows::{id, state_of};
use super::standing::Shown;
use super::work::{Works, is_running};
use crate::body::Frames;
use crate::path::{RequestPath, encode};

/// What a page is about.
#[derive(Debug, Clone)]
pub(crate) enum Topic {
    Directory(Node),
    File(Node),
    Activity,
}

/// It is looked so often.
const PACE: Duration = Duration::from_millis(400);
/// Something is said so often at least, so that a browser that has gone is noticed.
const QUIET: Duration = Duration::from_secs(15);
/// A browser asks again after this time.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// Who looks at a listing under way waits for it, and says so in time (SEMANTICS 7.3).
const STILL_WANTED: Duration = Duration::from_secs(20);

/// A short text that changes when the page should be loaded again.
pub(crate) async fn signature(vfs: &Vfs, works: &Works, topic: &Topic) -> String {
    let text = match topic {
        Topic::Directory(node) => {
            let freshness = vfs.freshness(node).await.ok();
            let listed = vfs.being_listed(node).is_some();
            format!("{freshness:?} {listed} {:?}", works.latest(node.own).map(|work| std::mem::discriminant(&work)))
        }
        Topic::File(node) => {
            let standing = vfs.standing(node).await.ok().map(without_bytes);
            format!("{standing:?} {:?}", works.latest(node.own).map(|work| is_running(&work)))
        }
        Topic::Activity => format!("{:?}", vfs.activity()),
    };
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// Bytes that come are no reason to load a page again.
fn without_bytes(standing: Standing) -> Standing {
    match standing {
        Standing::UnderWay { job, delivered, waits_until, queued_until, .. } => {
            Standing::UnderWay { job, delivered, bytes: 0, waits_until, queued_until }
        }
        other => other,
    }
}

/// Where a page about `path` hears news; `seen`: the signature of what it shows.
pub(crate) fn address(path: &RequestPath, view: &str, seen: &str) -> String {
    let view = if view.is_empty() { String::new() } else { format!("&{view}") };
    format!("/-/api/v1/events?path={}&seen={seen}{view}", encode(&path.to_string()))
}

/// The same for the page of all activity.
pub(crate) fn activity_address(seen: &str) -> String {
    format!("/-/api/v1/events?seen={seen}")
}

/// How far a listing is.
#[derive(Serialize)]
struct SoFar<'a> {
    text: &'a str,
    rows: u64,
}

/// One file's state.
#[derive(Serialize)]
struct Row {
    id: String,
    #[serde(flatten)]
    shown: Shown,
}

/// Somebody who listens.
pub(crate) struct Listener {
    pub vfs: Vfs,
    pub pages: Pages,
    pub topic: Topic,
    pub wanted: Wanted,
    pub call: Call,
    /// What the page shows.
    pub seen: String,
    /// One of so many.
    pub _permit: OwnedSemaphorePermit,
}

/// What was told so far.
struct Told {
    states: HashMap<String, Shown>,
    so_far: String,
    begun: Instant,
    spoke: Instant,
    asked: Instant,
}

impl Listener {
    /// The news, as server-sent events.
    pub(crate) fn into_frames(self) -> Frames {
        let now = Instant::now();
        let told = Told { states: HashMap::new(), so_far: String::new(), begun: now, spoke: now, asked: now };
        let state = Some((self, told, true));
        Box::pin(stream::unfold(state, |state| async move {
            let (mut listener, mut told, is_first) = state?;
            if is_first {
                // Headers go out at once, and the browser knows how soon to ask again.
                return Some((Ok(Bytes::from_static(b"retry: 2000\n\n")), Some((listener, told, false))));
            }
            loop {
                let (news, goes_on) = listener.look(&mut told).await;
                if !news.is_empty() {
                    told.spoke = Instant::now();
                    return Some((Ok(Bytes::from(news)), goes_on.then_some((listener, told, false))));
                }
                if told.spoke.elapsed() >= QUIET {
                    told.spoke = Instant::now();
                    return Some((Ok(Bytes::from_static(b":\n\n")), Some((listener, told, false))));
                }
                if told.begun.elapsed() >= LONGEST {
                    return None;
                }
                tokio::time::sleep(PACE).await;
            }
        }))
    }

    /// What is new, and whether the page stays the right one.
    async fn look(&mut self, told: &mut Told) -> (String, bool) {
        let signature = signature(&self.vfs, &self.pages.works, &self.topic).await;
        if signature != self.seen {
            return ("event: page\ndata: {}\n\n".to_owned(), false);
        }
        let mut out = String::new();
        match self.topic.clone() {
            Topic::Directory(node) => {
                self.listing_so_far(&node, told, &mut out).await;
                if let Some(rows) = self.changed_rows(&node, told).await {
                    event(&mut out, "rows", &rows);
                }
            }
            Topic::File(node) => {
                let size = self.vfs.attributes_now(&node).and_then(Result::ok).and_then(|attributes| attributes.size);
                if let Ok(standing) = self.vfs.standing(&node).await {
                    let shown = Shown::of(&standing, size, self.pages.works.latest(node.own).as_ref());
                    let row = Row { id: id(node.own), shown: shown.clone() };
                    if told.states.insert(row.id.clone(), shown.clone()).as_ref() != Some(&shown) {
                        event(&mut out, "rows", &[row]);
                    }
                }
            }
            Topic::Activity => {}
        }
        (out, true)
    }

    async fn listing_so_far(&self, node: &Node, told: &mut Told, out: &mut String) {
        let Some(work) = self.vfs.being_listed(node) else { return };
        let text = so_far(&work);
        if text != told.so_far {
            event(out, "sofar", &SoFar { text: &text, rows: work.rows });
            told.so_far = text;
        }
        let unlisted = !matches!(self.vfs.freshness(node).await, Ok(Freshness::Listed { .. }));
        if unlisted && told.asked.elapsed() >= STILL_WANTED {
            told.asked = Instant::now();
            let _not_yet = self.vfs.list(node, &self.call).await;
        }
    }

    /// The states that changed of the files on this page.
    async fn changed_rows(&self, node: &Node, told: &mut Told) -> Option<Vec<Row>> {
        let listing = self.vfs.known_listing(node).await.ok()??;
        let order = self.pages.orders.of(&listing, &self.wanted).await;
        let page = order.page(self.wanted.page);
        let mut rows = Vec::new();
        for place in page.from..page.to {
            let Some(ordinal) = order.get(place) else { continue };
            let Some((node, attributes)) = listing.entry(ordinal).filter(|(node, _)| node.kind == NodeKind::File)
            else {
                continue;
            };
            let shown = state_of(&listing, ordinal, &node, &attributes, &self.pages.works);
            let id = id(node.own);
            match told.states.get(&id) {
                Some(known) if *known == shown => continue,
                // The page was made just before: only what may have changed meanwhile is said again.
                None if shown.class == "quiet" => {}
                _ => rows.push(Row { id: id.clone(), shown: shown.clone() }),
            }
            told.states.insert(id, shown);
        }
        (!rows.is_empty()).then_some(rows)
    }
}

fn event<T: Serialize + ?Sized>(out: &mut String, name: &str, data: &T) {
    // JSON has no line breaks of its own, so it is one line of data.
    if let Ok(data) = serde_json::to_string(data) {
        out.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    }
}
