//! XML from outside, read with a pull parser under caps, and text for XML that we write.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// Bytes of a request body.
pub(crate) const MAX_BYTES: usize = 16 * 1024;
/// Levels of elements.
const MAX_DEPTH: usize = 16;
/// Elements.
const MAX_ELEMENTS: usize = 512;
/// Attributes of an element: that none comes twice is looked for by comparing each with all.
const MAX_ATTRIBUTES: usize = 32;

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XmlError {
    /// More than a request can need.
    #[error("the XML body is larger or deeper than any request needs (16 KiB, 16 levels, 512 elements, 32 attributes)")]
    TooLarge,
    /// A document type: the door to entities.
    #[error("the XML body has a document type, which is not accepted")]
    DocumentType,
    /// Not well-formed, or not with its namespaces.
    #[error("the XML body is not well-formed: {0}")]
    Malformed(String),
}

/// A qualified name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    /// Namespace; empty for none.
    pub namespace: String,
    /// Local part.
    pub local: String,
}

impl Name {
    /// A name in `DAV:`.
    #[cfg(test)]
    pub(crate) fn dav(local: &str) -> Name {
        Name { namespace: "DAV:".into(), local: local.into() }
    }

    /// Whether it is this name of `DAV:`.
    pub(crate) fn is_dav(&self, local: &str) -> bool {
        self.namespace == "DAV:" && self.local == local
    }
}

/// Something of a document's structure. Text is left out: no request that is understood here has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// An element begins.
    Open(Name),
    /// An element ends.
    Close,
}

/// The elements of a document, or why it is refused.
pub(crate) fn steps(body: &[u8]) -> Result<Vec<Step>, XmlError> {
    if body.len() > MAX_BYTES {
        return Err(XmlError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    reader.config_mut().enable_all_checks(true);
    let mut steps = Vec::new();
    let (mut depth, mut elements, mut roots) = (0_usize, 0_usize, 0_usize);
    loop {
        let (resolved, event) = reader.read_resolved_event().map_err(malformed)?;
        match event {
            Event::Start(ref start) | Event::Empty(ref start) => {
                let empty = matches!(event, Event::Empty(_));
                elements += 1;
                roots += usize::from(depth == 0);
                if elements > MAX_ELEMENTS || depth >= MAX_DEPTH {
                    return Err(XmlError::TooLarge);
                }
                if roots > 1 {
                    return Err(malformed("it has more than one root"));
                }
                steps.push(Step::Open(name(&resolved, start)?));
                if empty {
                    steps.push(Step::Close);
                } else {
                    depth += 1;
                }
            }
            Event::End(_) => {
                depth = depth.checked_sub(1).ok_or_else(|| malformed("an element ends that never began"))?;
                steps.push(Step::Close);
            }
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::GeneralRef(reference) => {
                let known = ["lt", "gt", "amp", "apos", "quot"];
                if !reference.is_char_ref() && !known.contains(&&*reference.borrow().into_inner()) {
                    return Err(malformed("it uses an entity that is not defined"));
                }
            }
            Event::Text(text) if depth == 0 && !text.borrow().into_inner().trim().is_empty() => {
                return Err(malformed("there is text outside of the root"));
            }
            Event::Eof if depth == 0 && roots == 1 => return Ok(steps),
            Event::Eof => return Err(malformed("it ends too early")),
            _ => {}
        }
    }
}

fn name(resolved: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Name, XmlError> {
    for (count, attribute) in start.attributes().enumerate() {
        if count == MAX_ATTRIBUTES {
            return Err(XmlError::TooLarge);
        }
        let attribute = attribute.map_err(malformed)?;
        // Namespaces 1.0: a prefix cannot be bound to nothing.
        if AsRef::<str>::as_ref(&attribute.key).starts_with("xmlns:") && attribute.value.is_empty() {
            return Err(malformed("a namespace prefix is bound to nothing"));
        }
    }
    let namespace = match resolved {
        ResolveResult::Bound(namespace) => AsRef::<str>::as_ref(namespace).to_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err(malformed("a namespace prefix is not bound")),
    };
    let local = AsRef::<str>::as_ref(&start.local_name()).to_owned();
    if !is_name(&local) {
        return Err(malformed("an element has no valid name"));
    }
    Ok(Name { namespace, local })
}

/// XML 1.0 names without the colon, which namespaces use.
fn is_name(text: &str) -> bool {
    let first = |character: char| character.is_alphabetic() || character == '_';
    let other =
        |character: char| first(character) || character.is_numeric() || matches!(character, '-' | '.' | '\u{b7}');
    text.starts_with(first) && text.chars().all(other)
}

fn malformed(error: impl ToString) -> XmlError {
    XmlError::Malformed(error.to_string())
}

/// Appends text with what XML gives a meaning escaped. Characters that XML 1.0 cannot carry at all become U+FFFD.
pub(crate) fn escape_into(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| (b' '..0x7f).contains(&byte) && !matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'');
    if text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match character {
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '&' => out.extend_from_slice(b"&amp;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\'' => out.extend_from_slice(b"&#39;"),
            '\t' => out.extend_from_slice(b"&#9;"),
            '\n' => out.extend_from_slice(b"&#10;"),
            '\r' => out.extend_from_slice(b"&#13;"),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => out.extend_from_slice("\u{fffd}".as_bytes()),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_that_attacks_the_parser_is_refused_and_costs_nothing() {
        let nested = format!("{}{}", "<a>".repeat(3_000), "</a>".repeat(3_000));
        assert_eq!(steps(nested.as_bytes()), Err(XmlError::TooLarge), "21 KB of nesting (docs/webdav-clients.md §1.4)");
        let deep = format!("{}{}", "<a>".repeat(17), "</a>".repeat(17));
        assert_eq!(steps(deep.as_bytes()), Err(XmlError::TooLarge));
        let many = format!("<a>{}</a>", "<b/>".repeat(512));
        assert_eq!(steps(many.as_bytes()), Err(XmlError::TooLarge));
        let bomb = br#"<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>"#;
        assert_eq!(steps(bomb), Err(XmlError::DocumentType));
        let external = br#"<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>"#;
        assert_eq!(steps(external), Err(XmlError::DocumentType));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        let bad: [&[u8]; 14] = [
            b"",
            b"x",
            b"<a>",
            b"</a>",
            b"<a></b>",
            b"<a/><b/>",
            b"<a/>x",
            b"<p:a/>",
            b"<a xmlns:p=\"\"/>",
            b"<a>&unknown;</a>",
            b"<a b=\"1\" b=\"2\"/>",
            b"\xff\xfe<\0a\0",
            b"<a",
            b"<1/>",
        ];
        for body in bad {
            assert!(matches!(steps(body), Err(XmlError::Malformed(_))), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn names_come_with_their_namespace() {
        let body = b"\xef\xbb\xbf<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><x:a xmlns:x=\"urn:x\"/><b xmlns=\"\"/></propfind>";
        let name = |namespace: &str, local: &str| Step::Open(Name { namespace: namespace.into(), local: local.into() });
        let expected = vec![
            Step::Open(Name::dav("propfind")),
            name("urn:x", "a"),
            Step::Close,
            name("", "b"),
            Step::Close,
            Step::Close,
        ];
        assert_eq!(steps(body), Ok(expected));
    }

    #[test]
    fn written_text_is_always_legal() {
        let mut out = Vec::new();
        escape_into(&mut out, "a<b>&\"'\u{1}\u{b}\u{ffff}\tö");
        assert_eq!(String::from_utf8(out).unwrap(), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}\u{fffd}&#9;ö");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = steps(&body);
        }

        #[test]
        fn arbitrary_markup_never_panics_and_always_balances(body in "[<>/a:&;#x!?\\[\\]\"'= ]{0,80}") {
            if let Ok(steps) = steps(body.as_bytes()) {
                let open = steps.iter().filter(|step| matches!(step, Step::Open(_))).count();
                prop_assert_eq!(open * 2, steps.len());
            }
        }
    }
}
