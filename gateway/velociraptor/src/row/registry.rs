//! Registry values whose content came with the listing (D7; docs/velociraptor-api.md §4.6, §5.4).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::table::json_text;

/// `_Data` of a registry value.
#[derive(Deserialize)]
struct Value<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

/// The longest content that a listing carries; longer values are left out by the endpoint.
const MAX_INLINE: usize = 64 << 10;

/// The content of a registry value, as reading it from the endpoint would give it, and its type; `None` if the row does not carry
/// it for certain. `size` is the row's own: the registry's count of bytes.
pub(super) fn content(data: &str, size: u64) -> Option<(Vec<u8>, String)> {
    let parsed: Value<'_> = serde_json::from_str(data).ok()?;
    let kind = json_text(parsed.kind?.get())?.into_owned();
    let value = parsed.value?.get();
    let bytes = match kind.as_str() {
        "DWORD" | "QWORD" | "DWORD_BIG_ENDIAN" => number(value)?,
        "SZ" | "EXPAND_SZ" => json_text(value)?.into_owned().into_bytes(),
        "MULTI_SZ" => list(value)?,
        _ => binary(value, size)?,
    };
    (bytes.len() <= MAX_INLINE).then_some((bytes, kind))
}

/// Decimal and a newline: such values have no bytes of their own to read.
fn number(value: &str) -> Option<Vec<u8>> {
    let text = json_text(value).unwrap_or(Cow::Borrowed(value));
    let text = text.trim();
    if text.parse::<u64>().is_err() && text.parse::<i64>().is_err() {
        return None;
    }
    Some(format!("{text}\n").into_bytes())
}

/// The compact JSON array that the endpoint would give.
fn list(value: &str) -> Option<Vec<u8>> {
    let strings: Vec<String> = serde_json::from_str(value).ok()?;
    // Servers since 0.74 pass the endpoint's own compact text through; older ones indent it.
    if value.contains('\n') { serde_json::to_vec(&strings).ok() } else { Some(value.as_bytes().to_vec()) }
}

/// Bytes travel as base64; the row's size says whether that was so.
fn binary(value: &str, size: u64) -> Option<Vec<u8>> {
    let text = json_text(value)?;
    let decoded = STANDARD.decode(text.strip_prefix("base64:").unwrap_or(&text)).ok()?;
    (u64::try_from(decoded.len()).ok() == Some(size)).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(data: &str, size: u64) -> Option<Vec<u8>> {
        content(data, size).map(|(bytes, _)| bytes)
    }

    #[test]
    fn values_are_what_reading_them_would_give() {
        for (data, size, expected) in [
            (r#"{"type":"DWORD","value":305419896}"#, 4, &b"305419896\n"[..]),
            (r#"{"type":"QWORD","value":18446744073709551615}"#, 8, b"18446744073709551615\n"),
            (r#"{"type":"SZ","value":"C:\\x \u00fc"}"#, 14, "C:\\x ü".as_bytes()),
            (r#"{"type":"EXPAND_SZ","value":""}"#, 2, b""),
            (r#"{"type":"MULTI_SZ","value":["a","b\u0026"]}"#, 12, br#"["a","b\u0026"]"#),
            (r#"{"type":"BINARY","value":"AAH/"}"#, 3, &[0, 1, 255]),
            (r#"{"type":"11","value":"AAH/"}"#, 3, &[0, 1, 255]),
        ] {
            assert_eq!(read(data, size).as_deref(), Some(expected), "{data}");
        }
    }

    #[test]
    fn a_value_that_is_not_certain_is_left_for_reading() {
        for (data, size) in [
            (r#"{"type":"BINARY","value":"AAH/"}"#, 4),
            (r#"{"type":"BINARY","value":"not base64!"}"#, 11),
            (r#"{"type":"BINARY"}"#, 5000),
            (r#"{"type":"11","value":"<Binary Data>"}"#, 5000),
            (r#"{"type":"DWORD","value":"x"}"#, 4),
            (r#"{"Link":"x"}"#, 0),
            ("{}", 0),
            ("[]", 0),
        ] {
            assert_eq!(read(data, size), None, "{data}");
        }
    }

    proptest! {
        #[test]
        fn no_data_makes_it_fail(data in "\\PC{0,80}", size: u64) {
            content(&data, size);
            content(&format!(r#"{{"type":"BINARY","value":{data:?}}}"#), size);
        }
    }
}
