//! One `response` element: straight into the frame that is sent.

use vfs::{Attributes, FileType, Node, NodeKind, Timestamp};

use crate::dates::{http_date_into, iso_date_into};
use crate::entity;
use crate::media;
use crate::path::encode_into;
use crate::propfind::property::{Property, Selection};
use crate::xml::escape_into;

/// One resource.
pub(crate) struct Resource<'a> {
    /// The object.
    pub node: &'a Node,
    /// What is known of it.
    pub attributes: &'a Attributes,
    /// Its name as this client sees it.
    pub name: &'a str,
    /// Target of a link, if it is one and that was asked for.
    pub link: Option<&'a str>,
}

/// Attributes of files that were not collected: offline.
const READ_ONLY: u32 = 0x1;
const DIRECTORY: u32 = 0x10;
const ARCHIVE: u32 = 0x20;
const OFFLINE: u32 = 0x1000;
const NOT_INDEXED: u32 = 0x2000;

/// Writes resources of one answer.
pub(crate) struct Encoder {
    selection: Selection,
    offline_attribute: bool,
    missing: Vec<u8>,
}

impl Encoder {
    /// For this selection; `offline_attribute` marks uncollected files for Windows.
    pub(crate) fn new(selection: Selection, offline_attribute: bool) -> Encoder {
        Encoder { selection, offline_attribute, missing: Vec::new() }
    }

    /// The selection.
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Appends one `response`. The href is `parent` (encoded, with final slash) and the name, or `parent` itself for `itself`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, parent: &[u8], itself: bool, resource: &Resource<'_>) {
        out.extend_from_slice(b"<D:response><D:href>");
        out.extend_from_slice(parent);
        if !itself {
            encode_into(out, resource.name);
            if resource.node.kind == NodeKind::Directory {
                out.push(b'/');
            }
        }
        out.extend_from_slice(b"</D:href>");
        self.missing.clear();
        self.missing.extend_from_slice(&self.selection.unknown);
        out.extend_from_slice(b"<D:propstat><D:prop>");
        let mut found = false;
        for property in &self.selection.known {
            let before = out.len();
            if write_property(out, *property, resource, self.selection.names_only, self.offline_attribute) {
                found = true;
            } else {
                out.truncate(before);
                if !self.selection.lenient {
                    self.missing.push(b'<');
                    self.missing.extend_from_slice(property.tag().as_bytes());
                    self.missing.extend_from_slice(b"/>");
                }
            }
        }
        if found || self.missing.is_empty() {
            out.extend_from_slice(b"</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>");
        } else {
            out.truncate(out.len() - b"<D:propstat><D:prop>".len());
        }
        if !self.missing.is_empty() {
            out.extend_from_slice(b"<D:propstat><D:prop>");
            out.extend_from_slice(&self.missing);
            out.extend_from_slice(b"</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>");
        }
        out.extend_from_slice(b"</D:response>");
    }
}

/// Writes one property; false, with rubbish behind, if the resource does not have it.
fn write_property(
    out: &mut Vec<u8>,
    property: Property,
    resource: &Resource<'_>,
    names_only: bool,
    offline: bool,
) -> bool {
    let tag = property.tag().as_bytes();
    out.push(b'<');
    out.extend_from_slice(tag);
    if names_only {
        out.extend_from_slice(b"/>");
        return has(property, resource);
    }
    if property == Property::ResourceType && resource.node.kind != NodeKind::Directory {
        out.extend_from_slice(b"/>");
        return true;
    }
    out.push(b'>');
    if !write_value(out, property, resource, offline) {
        return false;
    }
    out.extend_from_slice(b"</");
    out.extend_from_slice(tag);
    out.push(b'>');
    true
}

fn has(property: Property, resource: &Resource<'_>) -> bool {
    match property {
        Property::Link => resource.node.kind == NodeKind::Link,
        _ => write_value(&mut Vec::new(), property, resource, false),
    }
}

fn write_value(out: &mut Vec<u8>, property: Property, resource: &Resource<'_>, offline: bool) -> bool {
    let attributes = resource.attributes;
    let is_directory = resource.node.kind == NodeKind::Directory;
    match property {
        Property::ResourceType if is_directory => out.extend_from_slice(b"<D:collection/>"),
        Property::ResourceType => {}
        Property::ContentLength => match attributes.size {
            Some(size) if !is_directory => number(out, size),
            _ => return false,
        },
        Property::LastModified | Property::WindowsModified => return date(out, attributes.modified, http_date_into),
        Property::WindowsAccessed => return date(out, attributes.accessed, http_date_into),
        Property::WindowsCreated => return date(out, attributes.born, http_date_into),
        Property::CreationDate => return date(out, attributes.born, iso_date_into),
        Property::EntityTag => match entity::tag(resource.node, attributes) {
            Some(tag) => {
                out.push(b'"');
                out.extend_from_slice(&tag);
                out.push(b'"');
            }
            None => return false,
        },
        Property::ContentType => out.extend_from_slice(content_type(resource.node, resource.name).as_bytes()),
        Property::DisplayName => escape_into(out, resource.name),
        Property::WindowsAttributes => windows_attributes(out, is_directory, offline && !attributes.collected),
        Property::Modified => return exact(out, attributes.modified),
        Property::Accessed => return exact(out, attributes.accessed),
        // A directory's carries the change stamp (D4): the exact one stands in its provenance.
        Property::Changed if is_directory => return false,
        Property::Changed => return exact(out, attributes.changed),
        Property::Born => return exact(out, attributes.born),
        Property::Mode => {
            out.extend_from_slice(format!("{:04o}", attributes.mode).as_bytes());
            if let Some(kind) = kind_word(attributes.file_type) {
                out.push(b' ');
                out.extend_from_slice(kind.as_bytes());
            }
        }
        Property::Link => match resource.link {
            Some(target) => escape_into(out, target),
            None => return false,
        },
        Property::Collected => match resource.node.kind {
            NodeKind::File => out.extend_from_slice(if attributes.collected { b"true" } else { b"false" }),
            _ => return false,
        },
    }
    true
}

/// The content type of an object, as GET says it too.
pub(crate) fn content_type(node: &Node, name: &str) -> &'static str {
    match node.kind {
        NodeKind::Directory => media::DIRECTORY,
        NodeKind::Link => media::LINK,
        _ => media::of_name(name),
    }
}

/// A word for what is neither file nor directory.
pub(crate) fn kind_word(file_type: FileType) -> Option<&'static str> {
    Some(match file_type {
        FileType::Directory | FileType::Regular => return None,
        FileType::Symlink => "link",
        FileType::CharacterDevice => "character-device",
        FileType::BlockDevice => "block-device",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::Irregular => "irregular",
    })
}

fn windows_attributes(out: &mut Vec<u8>, is_directory: bool, offline: bool) {
    // A read-only folder makes Windows ask for its content once more (docs/webdav-clients.md §3.3).
    let bits = match (is_directory, offline) {
        (true, _) => DIRECTORY,
        (false, true) => READ_ONLY | ARCHIVE | OFFLINE | NOT_INDEXED,
        (false, false) => READ_ONLY | ARCHIVE,
    };
    out.extend_from_slice(format!("{bits:08x}").as_bytes());
}

fn date(out: &mut Vec<u8>, time: Option<Timestamp>, write: fn(&mut Vec<u8>, Timestamp)) -> bool {
    if let Some(time) = time {
        write(out, time);
    }
    time.is_some()
}

fn exact(out: &mut Vec<u8>, time: Option<Timestamp>) -> bool {
    if let Some(time) = time {
        out.extend_from_slice(time.to_rfc3339().as_bytes());
    }
    time.is_some()
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientClass;
    use crate::propfind::request::{Asked, parse};

    fn attributes() -> Attributes {
        Attributes {
            file_type: FileType::Regular,
            mode: 0o444,
            size: Some(1_234_567),
            fsid: 1,
            file_id: 2,
            accessed: None,
            modified: Some(Timestamp::new(784_111_777, 123_456_789)),
            changed: None,
            born: Some(Timestamp::new(-11_644_473_600, 1)),
            collected: false,
        }
    }

    fn encoded(body: &str, class: ClientClass, kind: NodeKind, name: &str, attributes: &Attributes) -> String {
        let asked = if body.is_empty() { Asked::All { include: vec![] } } else { parse(body.as_bytes()).unwrap() };
        let node = Node { kind, ..Node::ROOT };
        let mut encoder = Encoder::new(Selection::new(asked, class, false), true);
        let mut out = Vec::new();
        encoder.write(&mut out, b"/C.1/", false, &Resource { node: &node, attributes, name, link: None });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn windows_gets_a_lean_answer_without_nanoseconds() {
        let text = encoded("", ClientClass::MiniRedir, NodeKind::File, "a b.txt", &attributes());
        assert_eq!(
            text,
            "<D:response><D:href>/C.1/a%20b.txt</D:href><D:propstat><D:prop><D:resourcetype/>\
             <D:getcontentlength>1234567</D:getcontentlength><D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>\
             <D:creationdate>1970-01-01T00:00:00Z</D:creationdate></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        );
    }

    #[test]
    fn what_was_named_and_is_not_there_is_reported_as_404() {
        let body = r#"<D:propfind xmlns:D="DAV:" xmlns:R="urn:raptorgate"><D:prop><D:quota/><R:accessed/><R:born/></D:prop></D:propfind>"#;
        let text = encoded(body, ClientClass::Other, NodeKind::File, "x", &attributes());
        assert!(
            text.contains("<D:prop><R:born>1601-01-01T00:00:00.000000001Z</R:born></D:prop><D:status>HTTP/1.1 200 OK"),
            "{text}"
        );
        assert!(text.contains("<D:prop><D:quota/><R:accessed/></D:prop><D:status>HTTP/1.1 404 Not Found"), "{text}");
        let only = r#"<D:propfind xmlns:D="DAV:"><D:prop><D:quota/></D:prop></D:propfind>"#;
        let text = encoded(only, ClientClass::Other, NodeKind::File, "x", &attributes());
        assert_eq!(text.matches("<D:propstat>").count(), 1, "{text}");
    }

    #[test]
    fn a_size_that_only_reading_tells_is_never_written_as_zero() {
        let unknown = Attributes { size: None, ..attributes() };
        let text = encoded("", ClientClass::Other, NodeKind::File, "cpuinfo", &unknown);
        assert!(!text.contains("getcontentlength"), "{text}");
    }

    #[test]
    fn directories_end_in_a_slash_and_have_no_length() {
        let text = encoded("", ClientClass::Other, NodeKind::Directory, "Users", &attributes());
        assert!(text.contains("<D:href>/C.1/Users/</D:href>"), "{text}");
        assert!(text.contains("<D:resourcetype><D:collection/></D:resourcetype>"), "{text}");
        assert!(!text.contains("getcontentlength") && !text.contains("getetag"), "{text}");
    }

    #[test]
    fn a_stamped_change_time_is_never_given_for_the_exact_one() {
        let body = r#"<D:propfind xmlns:D="DAV:" xmlns:R="urn:raptorgate"><D:prop><R:changed/></D:prop></D:propfind>"#;
        let stamped = Attributes { changed: Some(Timestamp::new(5, 123_456_701)), ..attributes() };
        let file = encoded(body, ClientClass::Other, NodeKind::File, "x", &stamped);
        assert!(file.contains("<R:changed>1970-01-01T00:00:05.123456701Z</R:changed>"), "{file}");
        let directory = encoded(body, ClientClass::Other, NodeKind::Directory, "x", &stamped);
        assert!(directory.contains("<R:changed/></D:prop><D:status>HTTP/1.1 404"), "{directory}");
    }

    #[test]
    fn windows_attributes_tell_what_was_collected() {
        let body = r#"<D:propfind xmlns:D="DAV:"><D:prop><Win32FileAttributes xmlns="urn:schemas-microsoft-com:"/></D:prop></D:propfind>"#;
        let collected = Attributes { collected: true, ..attributes() };
        assert!(encoded(body, ClientClass::MiniRedir, NodeKind::File, "x", &attributes()).contains(">00003021<"));
        assert!(encoded(body, ClientClass::MiniRedir, NodeKind::File, "x", &collected).contains(">00000021<"));
        assert!(encoded(body, ClientClass::MiniRedir, NodeKind::Directory, "x", &collected).contains(">00000010<"));
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for value in [0, 9, 10, 4_294_967_296, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
