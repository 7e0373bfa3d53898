//! What a PROPFIND asks for: its body and its Depth.

use http::HeaderValue;

use crate::refusal::Refusal;
use crate::xml::{self, Name, Step, XmlError};

/// The properties that a body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All that are cheap, and these too.
    All {
        /// From `include`.
        include: Vec<Name>,
    },
    /// Only names.
    Names,
    /// Exactly these.
    Named(Vec<Name>),
}

/// How deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The resource.
    Zero,
    /// And its children.
    One,
}

/// The body of the refusal of `Depth: infinity` (RFC 4918 §9.1).
const FINITE_DEPTH: &str = concat!(
    r#"<?xml version="1.0" encoding="utf-8"?>"#,
    r#"<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>"#
);

/// Reads the Depth header. Without one it is 1: the RFC's "infinity" would be refused, and clients that leave it out mean children.
pub(crate) fn depth(header: Option<&HeaderValue>) -> Result<Depth, Refusal> {
    match header.map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(Depth::Zero),
        Some(b"1") | None => Ok(Depth::One),
        Some(value) if value.eq_ignore_ascii_case(b"infinity") => {
            let message =
                "a listing of everything below is not served: each level is work for the endpoint; use Depth 0 or 1";
            Err(Refusal { xml: Some(FINITE_DEPTH), ..Refusal::forbidden(message) })
        }
        Some(_) => Err(Refusal::bad_request("the Depth header must be 0 or 1")),
    }
}

/// Reads a body; an empty one asks for all.
pub(crate) fn parse(body: &[u8]) -> Result<Asked, XmlError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Asked::All { include: Vec::new() });
    }
    let steps = xml::steps(body)?;
    match steps.first() {
        Some(Step::Open(root)) if root.is_dav("propfind") => {}
        _ => return Err(XmlError::Malformed("the root is not DAV:propfind".into())),
    }
    let mut all = false;
    let mut names = false;
    let mut named: Option<Vec<Name>> = None;
    let mut include = Vec::new();
    // The child of the root whose children are being read.
    let mut section: Option<Name> = None;
    let mut depth = 0_usize;
    for step in steps {
        match step {
            Step::Open(name) => {
                match (depth, &section) {
                    (1, _) => {
                        all |= name.is_dav("allprop");
                        names |= name.is_dav("propname");
                        if name.is_dav("prop") {
                            named.get_or_insert_default();
                        }
                        section = Some(name);
                    }
                    (2, Some(parent)) if parent.is_dav("prop") => named.get_or_insert_default().push(name),
                    (2, Some(parent)) if parent.is_dav("include") => include.push(name),
                    _ => {}
                }
                depth += 1;
            }
            Step::Close => depth = depth.saturating_sub(1),
        }
    }
    match (all, names, named) {
        (true, false, None) => Ok(Asked::All { include }),
        (false, true, None) => Ok(Asked::Names),
        (false, false, Some(named)) => Ok(Asked::Named(named)),
        _ => Err(XmlError::Malformed("it needs exactly one of allprop, propname and prop".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_four_forms_of_a_body_are_read() {
        assert_eq!(parse(b""), Ok(Asked::All { include: vec![] }));
        assert_eq!(parse(b"<propfind xmlns='DAV:'><propname/></propfind>"), Ok(Asked::Names));
        let named = br#"<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><x xmlns="urn:x">1</x></D:prop></D:propfind>"#;
        let foreign = Name { namespace: "urn:x".into(), local: "x".into() };
        assert_eq!(parse(named), Ok(Asked::Named(vec![Name::dav("getetag"), foreign])));
        let include = br#"<D:propfind xmlns:D="DAV:"><D:allprop/><D:include><D:quota/></D:include><e xmlns="urn:e"><D:prop/></e></D:propfind>"#;
        assert_eq!(parse(include), Ok(Asked::All { include: vec![Name::dav("quota")] }));
    }

    #[test]
    fn a_body_that_asks_for_nothing_or_for_two_things_is_refused() {
        for body in [
            "<propfind xmlns='DAV:'/>",
            "<propfind xmlns='DAV:'><allprop/><propname/></propfind>",
            "<propfind xmlns='DAV:'><allprop/><prop/></propfind>",
            "<propfind/>",
            "<prop xmlns='DAV:'/>",
        ] {
            assert!(matches!(parse(body.as_bytes()), Err(XmlError::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn infinity_is_refused_with_its_condition() {
        let header = |text: &'static str| HeaderValue::from_static(text);
        assert_eq!(depth(None), Ok(Depth::One));
        assert_eq!(depth(Some(&header("0"))), Ok(Depth::Zero));
        assert_eq!(depth(Some(&header("2"))).unwrap_err().status.as_u16(), 400);
        let refusal = depth(Some(&header("Infinity"))).unwrap_err();
        assert_eq!(refusal.status.as_u16(), 403);
        assert!(refusal.xml.unwrap().contains("propfind-finite-depth"));
    }

    proptest! {
        #[test]
        fn every_set_of_names_is_read_back(locals in proptest::collection::vec("[a-z][a-z0-9-]{0,10}", 0..40)) {
            let props: String = locals.iter().map(|local| format!("<D:{local}/>")).collect();
            let body = format!(r#"<D:propfind xmlns:D="DAV:"><D:prop>{props}</D:prop></D:propfind>"#);
            let expected = locals.iter().map(|local| Name::dav(local)).collect();
            prop_assert_eq!(parse(body.as_bytes()), Ok(Asked::Named(expected)));
        }
    }
}
