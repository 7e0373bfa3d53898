//! The beginning of a file's content, as hexadecimal and as text: only of what is here, escaped, and never run.

use std::fmt::Write;

use super::escape::is_odd;

/// Bytes that are shown.
pub(crate) const SHOWN: u32 = 64 * 1024;
/// Bytes of one line.
const LINE: usize = 16;

/// How the bytes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Hex,
    Text(Encoding),
}

/// How bytes are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// Not UTF-8: every byte above 0x7F is shown by its number.
    Bytes,
}

impl Encoding {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "UTF-8",
            Encoding::Utf16Le => "UTF-16, little endian",
            Encoding::Utf16Be => "UTF-16, big endian",
            Encoding::Bytes => "ASCII, other bytes by their number",
        }
    }

    /// What the bytes seem to be.
    pub(crate) fn guess(bytes: &[u8]) -> Encoding {
        match bytes {
            [0xff, 0xfe, ..] => return Encoding::Utf16Le,
            [0xfe, 0xff, ..] => return Encoding::Utf16Be,
            _ => {}
        }
        let sample = &bytes[..bytes.len().min(4096)];
        let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
        let (even, odd, half) = (zeros(0), zeros(1), sample.len() / 2);
        if half >= 2 && odd * 10 >= half * 7 && even * 10 < half {
            return Encoding::Utf16Le;
        }
        if half >= 2 && even * 10 >= half * 7 && odd * 10 < half {
            return Encoding::Utf16Be;
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Encoding::Utf8,
            // The end may be in the middle of a character.
            Err(error) if error.error_len().is_none() => Encoding::Utf8,
            Err(_) => Encoding::Bytes,
        }
    }
}

impl Form {
    /// The form that suits the bytes.
    pub(crate) fn fitting(bytes: &[u8]) -> Form {
        let encoding = Encoding::guess(bytes);
        let sample = &bytes[..bytes.len().min(4096)];
        let strange = |byte: &&u8| !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | 0x20..=0x7e | 0x80..);
        let is_text = match encoding {
            Encoding::Utf16Le | Encoding::Utf16Be => true,
            Encoding::Utf8 | Encoding::Bytes => {
                sample.iter().filter(strange).count() * 20 <= sample.len()
                    && (encoding == Encoding::Utf8
                        || sample.iter().filter(|byte| **byte >= 0x80).count() * 5 <= sample.len())
            }
        };
        if is_text { Form::Text(encoding) } else { Form::Hex }
    }
}

/// The bytes as escaped HTML for a `pre`.
pub(crate) fn render(bytes: &[u8], form: Form) -> String {
    match form {
        Form::Hex => hex(bytes),
        Form::Text(encoding) => as_text(bytes, encoding),
    }
}

/// Offset, sixteen bytes, and what of them is ASCII.
fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 5 + 64);
    for (number, line) in bytes.chunks(LINE).enumerate() {
        let _ = write!(out, "<b>{:08x}</b> ", number * LINE);
        for place in 0..LINE {
            if place == LINE / 2 {
                out.push(' ');
            }
            match line.get(place) {
                Some(byte) => {
                    let _ = write!(out, " {byte:02x}");
                }
                None => out.push_str("   "),
            }
        }
        out.push_str("  ");
        line.iter().for_each(|byte| {
            escape(&mut out, if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '·' })
        });
        out.push('\n');
    }
    out
}

fn as_text(bytes: &[u8], encoding: Encoding) -> String {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 8);
    match encoding {
        Encoding::Utf8 => {
            let valid = match std::str::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
            };
            valid.chars().for_each(|character| show(&mut out, character));
        }
        Encoding::Utf16Le | Encoding::Utf16Be => {
            let units = bytes.chunks_exact(2).map(|pair| match encoding {
                Encoding::Utf16Be => u16::from_be_bytes([pair[0], pair[1]]),
                _ => u16::from_le_bytes([pair[0], pair[1]]),
            });
            let units = units.skip_while(|unit| *unit == 0xfeff);
            char::decode_utf16(units).for_each(|unit| show(&mut out, unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        Encoding::Bytes => bytes.iter().for_each(|byte| {
            if byte.is_ascii() {
                show(&mut out, char::from(*byte));
            } else {
                let _ = write!(out, "<span class=\"odd\">{byte:02X}</span>");
            }
        }),
    }
    out
}

/// A character of text; what hides or disguises is shown by its number.
fn show(out: &mut String, character: char) {
    match character {
        '\n' | '\t' => out.push(character),
        '\r' => {}
        odd if is_odd(odd) => {
            let _ = write!(out, "<span class=\"odd\">{:02X}</span>", u32::from(odd));
        }
        other => escape(out, other),
    }
}

fn escape(out: &mut String, character: char) {
    match character {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_shown_in_the_form_that_suits_them() {
        assert_eq!(Form::fitting(b"plain\ntext"), Form::Text(Encoding::Utf8));
        assert_eq!(Form::fitting("grüße".as_bytes()), Form::Text(Encoding::Utf8));
        assert_eq!(Form::fitting(&"grüße".as_bytes()[..3]), Form::Text(Encoding::Utf8));
        assert_eq!(Form::fitting(b"gr\xfc\xdfe aus dem Norden"), Form::Text(Encoding::Bytes));
        assert_eq!(Form::fitting(b"\xff\xfeh\0i\0"), Form::Text(Encoding::Utf16Le));
        assert_eq!(Form::fitting(b"h\0i\0 \0t\0h\0e\0r\0e\0"), Form::Text(Encoding::Utf16Le));
        assert_eq!(Form::fitting(b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0"), Form::Hex);
    }

    #[test]
    fn a_line_of_hexadecimal_has_offset_bytes_and_letters() {
        assert_eq!(
            render(b"<MZ>\x90\0", Form::Hex),
            "<b>00000000</b>  3c 4d 5a 3e 90 00                                 &lt;MZ&gt;··\n"
        );
    }

    proptest! {
        #[test]
        fn no_content_leaves_its_place(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for form in [Form::Hex, Form::fitting(&bytes), Form::Text(Encoding::guess(&bytes)), Form::Text(Encoding::Utf16Be), Form::Text(Encoding::Bytes)] {
                let shown = render(&bytes, form);
                let bare = shown.replace("<span class=\"odd\">", "").replace("</span>", "").replace("<b>", "").replace("</b>", "");
                prop_assert!(!bare.contains(['<', '>']), "{}", shown);
                prop_assert!(!bare.chars().any(|character| is_odd(character) && !matches!(character, '\n' | '\t')));
            }
        }
    }
}
