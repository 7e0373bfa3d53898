//! A directory as an archive, made while it is sent: what is collected of it, and a manifest of everything that is known. No endpoint is
//! asked for anything. A failure in the middle breaks the connection: no client may take a part for the whole.

mod manifest;
mod tar;
mod zip;

use std::collections::{HashMap, VecDeque};
use std::io;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use vfs::{Attributes, Call, Found, Listing, Node, NodeKind, Profile, Standing, Timestamp, Vfs};

use super::walk::{Met, Walk};
use crate::body::{Body, Frames};
use crate::content::protect_evidence;
use crate::content::send::{PIECE, Rest};
use crate::exchange::Exchange;
use crate::path::encode;
use crate::refusal::{Answer, Refusal};
use crate::service::{Service, uncached};
use manifest::Manifest;
use tar::Tar;
use zip::Zip;

/// Bytes of a path at most.
const LONGEST: usize = 60_000;

/// The format of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Tar,
    Zip,
}

impl Format {
    /// The one that is asked for.
    pub(crate) fn of(exchange: &Exchange) -> Option<Format> {
        if exchange.asks("zip") {
            Some(Format::Zip)
        } else if exchange.asks("tar") {
            Some(Format::Tar)
        } else {
            None
        }
    }

    /// Names in a zip are those that Windows can make; in a tar those of Unix. Both spellings are reversible (SEMANTICS 2.1, 2.2).
    fn profile(self) -> Profile {
        match self {
            Format::Tar => Profile::Posix,
            Format::Zip => Profile::Windows,
        }
    }
}

/// One member, as both formats write it.
struct Member<'a> {
    /// Below the top of the archive, separated by `/`.
    path: &'a str,
    size: u64,
    modified: Option<Timestamp>,
    is_directory: bool,
}

/// What writes members; an archive is a row of heads, contents and ends.
enum Writer {
    Tar(Tar),
    Zip(Zip),
}

impl Writer {
    fn begin(&mut self, out: &mut Vec<u8>, member: &Member<'_>) {
        match self {
            Writer::Tar(tar) => tar.begin(out, member),
            Writer::Zip(zip) => zip.begin(out, member),
        }
    }

    fn content(&mut self, bytes: &[u8]) {
        match self {
            Writer::Tar(tar) => tar.content(bytes),
            Writer::Zip(zip) => zip.content(bytes),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Writer::Tar(tar) => tar.end(out),
            Writer::Zip(zip) => zip.end(out),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Writer::Tar(tar) => tar.finish(out),
            Writer::Zip(zip) => zip.finish(out),
        }
    }
}

/// Answers GET or HEAD of a directory's archive.
pub(crate) async fn answer(service: &Service, exchange: &Exchange, found: Found, format: Format) -> Answer {
    if found.node.kind != NodeKind::Directory {
        return Err(Refusal::bad_request("only a directory can be had as an archive"));
    }
    let top = exchange.path.name().map_or("raptorgate".to_owned(), |name| spelled_again(name, format.profile()));
    let (ending, media) = match format {
        Format::Tar => ("tar", "application/x-tar"),
        Format::Zip => ("zip", "application/zip"),
    };
    let body = if exchange.method() == Method::HEAD {
        Body::empty()
    } else {
        let mut call = exchange.call_held(exchange.config().hold);
        call.profile = format.profile();
        let writer = match format {
            Format::Tar => Writer::Tar(Tar::default()),
            Format::Zip => Writer::Zip(Zip::default()),
        };
        let walk = Walk::new(service.vfs.clone(), found.node, call.clone(), format.profile());
        let source = exchange.path.to_string();
        Body::Chunked(Archive::new(service.vfs.clone(), call, walk, writer, &top, &source).into_frames())
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    let disposition = format!("attachment; filename*=UTF-8''{}.{ending}", encode(&top));
    if let Ok(value) = HeaderValue::try_from(disposition) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    protect_evidence(headers);
    Ok(uncached(response))
}

/// A name of the request, as the archive's profile spells it.
fn spelled_again(name: &str, profile: Profile) -> String {
    profile.spell(&Profile::Posix.read(name)).into_owned()
}

/// An archive that is being made.
struct Archive {
    vfs: Vfs,
    call: Call,
    walk: Walk,
    writer: Writer,
    top: String,
    /// The directories that lead to where the walk is, as they are called in the archive.
    stack: Vec<String>,
    /// Names in each of them, to tell twins apart.
    names: Vec<HashMap<String, u32>>,
    manifest: Manifest,
    ready: VecDeque<Bytes>,
    /// What is left of the file whose content is being written.
    open: Option<Rest>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Walking,
    Manifest,
    Over,
}

impl Archive {
    fn new(vfs: Vfs, call: Call, walk: Walk, writer: Writer, top: &str, source: &str) -> Archive {
        let manifest = Manifest::new(source, vfs.now());
        Archive {
            vfs,
            call,
            walk,
            writer,
            top: top.to_owned(),
            stack: Vec::new(),
            names: Vec::new(),
            manifest,
            ready: VecDeque::new(),
            open: None,
            state: State::Walking,
        }
    }

    fn into_frames(self) -> Frames {
        Box::pin(stream::try_unfold(self, |mut archive| async move {
            loop {
                if let Some(frame) = archive.ready.pop_front() {
                    return Ok(Some((frame, archive)));
                }
                match (&archive.open, archive.state) {
                    (Some(_), _) => archive.go_on().await?,
                    (None, State::Walking) => archive.step().await?,
                    (None, State::Manifest) => archive.write_manifest(),
                    (None, State::Over) => return Ok(None),
                }
            }
        }))
    }

    /// The next thing of the walk.
    async fn step(&mut self) -> io::Result<()> {
        match self.walk.next().await {
            None => self.state = State::Manifest,
            Some(Met::Directory { path, unknown }) => {
                let (full, name) = self.place(&path);
                self.stack.extend(name);
                self.manifest.directory(&full, unknown.as_deref());
                if unknown.is_none() && full.len() <= LONGEST {
                    let member = Member { path: &full, size: 0, modified: None, is_directory: true };
                    self.member(&member, &[]);
                }
            }
            Some(Met::Entry { path, listing, ordinal, node, attributes }) => {
                self.entry(&path, &listing, ordinal, &node, &attributes).await?;
            }
        }
        Ok(())
    }

    async fn entry(
        &mut self,
        path: &[String],
        listing: &Listing,
        ordinal: u32,
        node: &Node,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let standing = if node.kind == NodeKind::File { listing.standing(ordinal, node) } else { Standing::NoContent };
        let is_here = matches!(standing, Standing::Collected { .. } | Standing::Here);
        if !is_here {
            let full = self.joined(path.len().saturating_sub(1), path.last());
            self.manifest.entry(&full, listing, ordinal, attributes, &standing, None);
            return Ok(());
        }
        let (full, _) = self.place(path);
        if full.len() > LONGEST {
            return Err(io::Error::other("a path is too long for an archive"));
        }
        // One read tells the size that the content really has.
        let first = self.vfs.read_collected(node, 0, PIECE, &self.call).await.map_err(io::Error::other)?;
        let Some(size) = first.attributes.size else {
            return Err(io::Error::other("the size of a collected file is not known"));
        };
        self.manifest.entry(&full, listing, ordinal, attributes, &standing, Some(size));
        let member = Member { path: &full, size, modified: attributes.modified, is_directory: false };
        let mut head = Vec::with_capacity(1024);
        self.writer.begin(&mut head, &member);
        self.ready.push_back(head.into());
        // A version binds to its content for ever (D6): what is collected now can be read to its end.
        let (vfs, call, known) = (self.vfs.clone(), self.call.clone(), first.attributes);
        self.open = Some(Rest::new(vfs, *node, call, &known, 0, size, first));
        Ok(())
    }

    /// The next piece of the open file.
    async fn go_on(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Some(piece) = open.piece().await? {
            self.writer.content(&piece);
            self.ready.push_back(piece);
            return Ok(());
        }
        self.open = None;
        let mut end = Vec::new();
        self.writer.end(&mut end);
        self.push(end);
        Ok(())
    }

    /// A whole member.
    fn member(&mut self, member: &Member<'_>, content: &[u8]) {
        let mut out = Vec::with_capacity(content.len() + 2048);
        self.writer.begin(&mut out, member);
        self.writer.content(content);
        out.extend_from_slice(content);
        self.writer.end(&mut out);
        self.push(out);
    }

    fn write_manifest(&mut self) {
        let mut out = Vec::new();
        match self.manifest.next_part() {
            Some((name, content)) => {
                let member = Member {
                    path: &name,
                    size: content.len() as u64,
                    modified: Some(self.vfs.now()),
                    is_directory: false,
                };
                self.member(&member, content.as_bytes());
            }
            None => {
                self.writer.finish(&mut out);
                self.state = State::Over;
                self.push(out);
            }
        }
    }

    fn push(&mut self, out: Vec<u8>) {
        if !out.is_empty() {
            self.ready.push_back(out.into());
        }
    }

    /// A path in the archive that no other member has, and its last name: on Windows names that differ by case only are one.
    fn place(&mut self, path: &[String]) -> (String, Option<String>) {
        let Some((name, above)) = path.split_last() else { return (self.top.clone(), None) };
        let depth = above.len();
        self.stack.truncate(depth);
        self.names.truncate(depth + 1);
        self.names.resize_with(depth + 1, HashMap::new);
        let mut name = name.clone();
        if let (Writer::Zip(_), Some(names)) = (&self.writer, self.names.last_mut()) {
            let twins = names.entry(name.to_lowercase()).or_default();
            *twins += 1;
            if *twins > 1 {
                name.push_str(&format!("~{twins}"));
            }
        }
        (self.joined(depth, Some(&name)), Some(name))
    }

    /// The path of a name in the directory at this depth.
    fn joined(&self, depth: usize, name: Option<&String>) -> String {
        let mut full = self.top.clone();
        for name in self.stack.iter().take(depth).chain(name) {
            full.push('/');
            // No listing has such names; if one had, what extracts this must not go anywhere else.
            match name.as_str() {
                "" | "." | ".." => full.push_str(&format!("({name})")),
                name => full.push_str(&name.replace('/', "／")),
            }
        }
        full
    }
}

#[cfg(test)]
mod tests;
