//! PROPFIND as a client does it, and what a 207 says.

use std::collections::BTreeMap;
use std::io;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::http::{Http, Response, decode};

/// One `response` of a 207.
#[derive(Debug, Default, Clone)]
pub struct Resource {
    /// The decoded path.
    pub path: Vec<u8>,
    /// Whether its resourcetype has `collection`.
    pub is_collection: bool,
    /// Text of the properties that were found, by local name.
    pub properties: BTreeMap<String, String>,
}

impl Resource {
    /// The last component of the path.
    pub fn name(&self) -> &[u8] {
        let path = self.path.strip_suffix(b"/").unwrap_or(&self.path);
        path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// `getcontentlength`.
    pub fn size(&self) -> Option<u64> {
        self.properties.get("getcontentlength").map(|size| size.parse().expect("a number"))
    }
}

/// Asks for all properties of an encoded path; the answer as it came.
pub fn ask(http: &Http, path: &str, depth: &str) -> io::Result<Response> {
    let body = b"<?xml version=\"1.0\"?><D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind>";
    http.request("PROPFIND", path, &[("Depth", depth), ("Content-Type", "application/xml")], body)
}

/// The resources directly in a directory, without itself.
#[track_caller]
pub fn list(http: &Http, path: &str) -> Vec<Resource> {
    let response = ask(http, path, "1").unwrap_or_else(|error| panic!("PROPFIND {path}: {error}"));
    assert_eq!(response.status, 207, "PROPFIND {path}: {}", response.text());
    let own = decode(path.trim_end_matches('/'));
    let resources = parse(&response.body);
    let count = resources.len();
    let children: Vec<Resource> = resources
        .into_iter()
        .filter(|resource| resource.path.strip_suffix(b"/").unwrap_or(&resource.path) != own)
        .collect();
    assert_eq!(children.len() + 1, count, "PROPFIND {path}: the directory itself must be there exactly once");
    children
}

/// Reads a 207.
#[track_caller]
pub fn parse(body: &[u8]) -> Vec<Resource> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).expect("UTF-8"));
    let mut resources = Vec::new();
    let mut current = Resource::default();
    let mut open: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut is_collection = false;
    let mut status = String::new();
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("no XML at {}: {error}", reader.buffer_position())) {
            Event::Start(start) => {
                open.push(start.local_name().as_ref().to_owned());
                text.clear();
            }
            Event::Empty(empty) => {
                let name = empty.local_name().as_ref().to_owned();
                is_collection |= name == "collection" && open.last().is_some_and(|parent| parent == "resourcetype");
                if open.last().is_some_and(|parent| parent == "prop") {
                    found.push((name, String::new()));
                }
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().expect("a character") {
                Some(character) => text.push(character),
                None => text.push_str(quick_xml::escape::resolve_xml_entity(&reference).expect("an entity")),
            },
            Event::End(end) => {
                let name = end.local_name().as_ref().to_owned();
                assert_eq!(open.pop().as_deref(), Some(name.as_str()));
                let parent = open.last().map(String::as_str);
                match (name.as_str(), parent) {
                    ("href", Some("response")) => current.path = decode(text.trim()),
                    ("status", Some("propstat")) => status = text.trim().to_owned(),
                    ("propstat", _) => {
                        if status.contains(" 200 ") {
                            current.properties.extend(found.drain(..));
                            current.is_collection |= is_collection;
                        }
                        found.clear();
                        is_collection = false;
                    }
                    ("response", _) => resources.push(std::mem::take(&mut current)),
                    (_, Some("prop")) => found.push((name, text.clone())),
                    _ => {}
                }
                text.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "the document ends inside {open:?}");
    resources
}
