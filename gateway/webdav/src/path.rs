//! Request paths: decoded exactly once into segments, and encoded again for hrefs.

use std::fmt;

/// The path of a request, decoded: names as the client spells them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RequestPath {
    segments: Vec<String>,
    slash: bool,
    raised: bool,
}

/// The tree once more, for Windows clients with raised limits (`deploy/clients/windows`): who asks below it has the kit.
pub(crate) const RAISED: &str = "raised";

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    /// `..`: clients resolve it themselves, so this is an attempt to get around something.
    #[error("the path contains `..`")]
    DotSegment,
    /// Not percent-encoded UTF-8, or a segment with `/` or NUL in it.
    #[error("the path is not percent-encoded UTF-8, or a name in it contains a slash or a zero byte")]
    Malformed,
    /// Deeper than any endpoint's paths.
    #[error("the path has too many segments")]
    TooDeep,
}

/// Segments at most: the accessor's path may have 1,024, and a few stand before it.
const MAX_SEGMENTS: usize = 1_040;

impl RequestPath {
    /// Decodes the path of a request URI. Empty segments are skipped; a final slash is remembered.
    pub(crate) fn parse(raw: &str) -> Result<RequestPath, PathError> {
        let rest = raw.strip_prefix('/').ok_or(PathError::Malformed)?;
        let mut segments = Vec::new();
        for part in rest.split('/').filter(|part| !part.is_empty()) {
            let segment = decode(part).ok_or(PathError::Malformed)?;
            // Go's clients write `./` before a name with a colon; it means nothing (RFC 3986 §5.2.4).
            if segment == "." {
                continue;
            }
            if segment == ".." {
                return Err(PathError::DotSegment);
            }
            if segment.contains(['/', '\0']) {
                return Err(PathError::Malformed);
            }
            if segments.len() >= MAX_SEGMENTS {
                return Err(PathError::TooDeep);
            }
            segments.push(segment);
        }
        let raised = segments.first().is_some_and(|first| first == RAISED);
        if raised {
            segments.remove(0);
        }
        Ok(RequestPath { slash: raw.ends_with('/'), segments, raised })
    }

    /// A path from plain text, as the JSON API takes it: names are not percent-encoded.
    pub(crate) fn from_plain(text: &str) -> Result<RequestPath, PathError> {
        let segments: Vec<String> =
            text.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect();
        if segments.iter().any(|segment| segment == "..") {
            return Err(PathError::DotSegment);
        }
        if segments.iter().any(|segment| segment.contains('\0')) {
            return Err(PathError::Malformed);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(PathError::TooDeep);
        }
        Ok(RequestPath { slash: text.ends_with('/'), segments, raised: false })
    }

    /// The decoded segments.
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The segments as the model takes them.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The last segment; `None` for `/`.
    pub(crate) fn name(&self) -> Option<&str> {
        self.segments.last().map(String::as_str)
    }

    /// The path of the directory that holds it; `/` for `/`.
    pub(crate) fn parent(&self) -> RequestPath {
        let mut segments = self.segments.clone();
        segments.pop();
        RequestPath { segments, slash: true, raised: self.raised }
    }

    /// The path of a child.
    pub(crate) fn child(&self, name: &str) -> RequestPath {
        let mut segments = self.segments.clone();
        segments.push(name.to_owned());
        RequestPath { segments, slash: false, raised: self.raised }
    }

    /// The client wrote a final slash.
    pub(crate) fn has_final_slash(&self) -> bool {
        self.slash
    }

    /// The client asks below [`RAISED`].
    pub(crate) fn is_raised(&self) -> bool {
        self.raised
    }

    /// `/`.
    pub(crate) fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// The href of a directory: path-absolute, with a final slash.
    pub(crate) fn directory_href(&self) -> String {
        let mut href = Vec::with_capacity(64);
        href.push(b'/');
        if self.raised {
            href.extend_from_slice(RAISED.as_bytes());
            href.push(b'/');
        }
        for segment in &self.segments {
            encode_into(&mut href, segment);
            href.push(b'/');
        }
        ascii(href)
    }

    /// The href of anything else.
    pub(crate) fn file_href(&self) -> String {
        let mut href = self.directory_href();
        if href.len() > 1 {
            href.pop();
        }
        href
    }
}

impl fmt::Display for RequestPath {
    /// For people and logs: not encoded.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return formatter.write_str("/");
        }
        self.segments.iter().try_for_each(|segment| write!(formatter, "/{segment}"))
    }
}

/// Percent-encodes one segment: everything but RFC 3986 unreserved characters, so that no client misreads `%`, `#`, `+`, `:` or `;`.
pub(crate) fn encode_into(out: &mut Vec<u8>, segment: &str) {
    for &byte in segment.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// One percent-encoded segment.
pub(crate) fn encode(segment: &str) -> String {
    let mut out = Vec::with_capacity(segment.len() + 8);
    encode_into(&mut out, segment);
    ascii(out)
}

/// Decodes percent-encoding once; `None` if it is not well-formed UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            out.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dot_segments_are_refused_however_they_are_written() {
        for path in ["/a/../b", "/%2e%2e/b", "/.%2E/", "/./..", "/a/%2e%2e"] {
            assert_eq!(RequestPath::parse(path), Err(PathError::DotSegment), "{path}");
        }
        assert!(RequestPath::parse("/.../..a/a..").is_ok());
        assert_eq!(
            RequestPath::parse("/a/./co%3Alon").unwrap().segments(),
            ["a", "co:lon"],
            "as Go's clients write it"
        );
    }

    #[test]
    fn a_slash_or_a_zero_byte_inside_a_name_is_refused() {
        for path in ["/a%2Fb", "/a%2fb", "/a%00", "/%", "/%4", "/%zz", "/%ff", "a", ""] {
            assert_eq!(RequestPath::parse(path), Err(PathError::Malformed), "{path}");
        }
    }

    #[test]
    fn decoding_happens_once() {
        let path = RequestPath::parse("/a%252e%252e/%2525").unwrap();
        assert_eq!(path.segments(), ["a%2e%2e", "%25"]);
        assert_eq!(path.file_href(), "/a%252e%252e/%2525");
    }

    #[test]
    fn both_spellings_of_a_directory_are_the_same_path() {
        let with = RequestPath::parse("/C.1/auto/").unwrap();
        let without = RequestPath::parse("//C.1//auto").unwrap();
        assert_eq!(with.segments(), without.segments());
        assert_eq!(without.directory_href(), "/C.1/auto/");
        assert!(with.has_final_slash() && !without.has_final_slash());
        assert_eq!(RequestPath::parse("/").unwrap().file_href(), "/");
    }

    #[test]
    fn what_is_asked_for_with_raised_limits_is_told_so_too() {
        let path = RequestPath::parse("/raised/C.1/a").unwrap();
        assert!(path.is_raised() && path.segments() == ["C.1", "a"]);
        assert_eq!(path.parent().child("b").directory_href(), "/raised/C.1/b/");
        let root = RequestPath::parse("/raised").unwrap();
        assert_eq!((root.is_root(), root.directory_href()), (true, "/raised/".to_owned()));
        let other = RequestPath::parse("/C.1/raised").unwrap();
        assert!(!other.is_raised() && other.segments() == ["C.1", "raised"]);
    }

    proptest! {
        #[test]
        fn an_encoded_path_decodes_to_the_same_names(names in proptest::collection::vec("[^/\0]{1,12}", 0..6)) {
            prop_assume!(names.iter().all(|name| name != "." && name != "..") && names.first().is_none_or(|name| name != RAISED));
            let mut path = RequestPath::parse("/").unwrap();
            for name in &names {
                path = path.child(name);
            }
            let href = path.directory_href();
            prop_assert!(href.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>&\"'".contains(&byte)));
            let parsed = RequestPath::parse(&href).unwrap();
            prop_assert_eq!(parsed.segments(), &names[..]);
        }

        #[test]
        fn arbitrary_text_never_panics_nor_passes_a_separator(text in "\\PC{0,60}") {
            if let Ok(path) = RequestPath::parse(&format!("/{text}")) {
                prop_assert!(path.segments().iter().all(|name| !name.is_empty() && !name.contains(['/', '\0']) && name != ".."));
            }
        }
    }
}
