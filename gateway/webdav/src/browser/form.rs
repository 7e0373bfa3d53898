//! What a form sent: names and values, percent-encoded.

use crate::path::decode;

/// Fields of one form. A page has a thousand rows.
const FIELDS: usize = 4_096;

/// The fields, in order; `None` if this is no form, or one that no page of ours has.
pub(crate) fn fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut fields = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        if fields.len() >= FIELDS {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.push((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?));
    }
    Some(fields)
}

/// The value of the first field of this name.
pub(crate) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::encode;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_form_sends_comes_back(pairs in proptest::collection::vec((any::<String>(), any::<String>()), 0..8)) {
            let body = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&");
            let back = fields(body.as_bytes()).unwrap();
            let sent: Vec<_> = pairs.into_iter().collect();
            prop_assert_eq!(back, sent);
        }

        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = fields(&body);
        }
    }

    #[test]
    fn a_form_with_too_many_fields_is_refused() {
        assert!(fields("a=1&".repeat(FIELDS + 1).as_bytes()).is_none());
        assert_eq!(field(&fields(b"a=1+2&b").unwrap(), "a"), Some("1 2"));
    }
}
