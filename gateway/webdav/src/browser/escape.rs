//! Text of evidence on a page: escaped, and with every character visible that could hide or disguise something.

use std::fmt::{self, Write};

/// Escaped text that shows odd characters as their code point.
pub(crate) fn text(text: &str) -> Visible<'_> {
    Visible(text)
}

/// Escaped for an attribute in double quotes, odd characters as they are.
pub(crate) fn attribute(text: &str) -> Attribute<'_> {
    Attribute(text)
}

/// Escaped for an attribute that people read or hear: odd characters as their code point.
pub(crate) fn label(text: &str) -> Label<'_> {
    Label(text)
}

/// See [`label`].
pub(crate) struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match is_odd(character) {
            true => write!(formatter, "U+{:04X}", u32::from(character)),
            false => escaped(formatter, character),
        })
    }
}

/// See [`text`].
pub(crate) struct Visible<'a>(&'a str);

/// See [`attribute`].
pub(crate) struct Attribute<'a>(&'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trimmed = self.0.trim_end_matches(' ').len();
        for (index, character) in self.0.char_indices() {
            if is_odd(character) || character == ' ' && (index >= trimmed || index == 0) {
                write!(formatter, "<span class=\"odd\" title=\"U+{0:04X}\">U+{0:04X}</span>", u32::from(character))?;
            } else if let Some(alike) = looks_like(character) {
                let code = u32::from(character);
                write!(formatter, "<span class=\"alike\" title=\"U+{code:04X}, not {alike}\">{character}</span>")?;
            } else {
                escaped(formatter, character)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| escaped(formatter, character))
    }
}

fn escaped(formatter: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '<' => formatter.write_str("&lt;"),
        '>' => formatter.write_str("&gt;"),
        '&' => formatter.write_str("&amp;"),
        '"' => formatter.write_str("&quot;"),
        '\'' => formatter.write_str("&#39;"),
        _ => formatter.write_char(character),
    }
}

/// Characters that do not show, or that change how others are shown: controls, direction marks, zero-width and odd spaces, tags,
/// variation selectors, private use, and what stands for undecodable bytes.
pub(crate) fn is_odd(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..)
}

/// What separates paths, streams or endings, for a character that only looks like it.
fn looks_like(character: char) -> Option<char> {
    Some(match character {
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' | '\u{2571}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' | '\u{ff3c}' => '\\',
        '\u{a789}' | '\u{2236}' | '\u{fe55}' | '\u{ff1a}' | '\u{05c3}' => ':',
        '\u{2024}' | '\u{fe52}' | '\u{ff0e}' | '\u{a4f8}' => '.',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_hides_or_disguises_is_shown() {
        assert_eq!(text("a<b>&\"'").to_string(), "a&lt;b&gt;&amp;&quot;&#39;");
        let shown = text("evil\u{202e}txt.exe").to_string();
        assert!(shown.contains("U+202E") && !shown.contains('\u{202e}'), "{shown}");
        assert_eq!(text("a ").to_string(), "a<span class=\"odd\" title=\"U+0020\">U+0020</span>");
        assert_eq!(text("a／b").to_string(), "a<span class=\"alike\" title=\"U+FF0F, not /\">／</span>b");
        assert_eq!(text("grüße 日本 🦖 a b").to_string(), "grüße 日本 🦖 a b");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_place(input in any::<String>()) {
            prop_assert!(!attribute(&input).to_string().contains(['<', '>', '"', '\'']));
            prop_assert!(!label(&input).to_string().contains(|character| matches!(character, '<' | '>' | '"' | '\'') || is_odd(character)));
            let shown = text(&input).to_string();
            let bare = shown.replace("<span class=\"odd\" title=\"U+", "").replace("<span class=\"alike\" title=\"U+", "");
            let bare = bare.replace("</span>", "").replace("\">", "");
            prop_assert!(!bare.contains(['<', '>', '"', '\'']), "{}", shown);
            prop_assert!(!shown.chars().any(is_odd));
        }
    }
}
