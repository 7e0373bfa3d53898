//! The two directions of the spelling.

use std::borrow::Cow;

use super::Profile;

/// Stands before a character that is meant literally.
const QUOTE: char = '‛';

/// Pairs of a character that cannot be in a name and its look-alike. The first two are for every profile.
const LOOK_ALIKES: [(char, char); 11] = [
    ('/', '／'),
    ('\0', '␀'),
    ('<', '＜'),
    ('>', '＞'),
    (':', '：'),
    ('"', '＂'),
    ('\\', '＼'),
    ('|', '｜'),
    ('?', '？'),
    ('*', '＊'),
    ('\u{7f}', '␡'),
];
const POSIX_PAIRS: usize = 2;
const TRAILING: [(char, char); 2] = [('.', '．'), (' ', '␠')];
/// Names of devices that Windows knows in every directory, with or without extension.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// And these with a digit behind, for which Windows takes superscript ones too.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];

pub(super) fn spell(profile: Profile, component: &str) -> Cow<'_, str> {
    if needs_nothing(profile, component) {
        return Cow::Borrowed(component);
    }
    let mut out = String::with_capacity(component.len() + 8);
    let last = component.char_indices().next_back().map_or(0, |(index, _)| index);
    if profile == Profile::Windows && is_device(component) {
        out.push(QUOTE); // the first letter, meant literally: no device any more
    }
    for (index, character) in component.char_indices() {
        match replaced(profile, character, index == last) {
            Some(look_alike) => out.push(look_alike),
            None => {
                if is_special(profile, character) {
                    out.push(QUOTE);
                }
                out.push(character);
            }
        }
    }
    Cow::Owned(out)
}

pub(super) fn read(profile: Profile, spelled: &str) -> Cow<'_, str> {
    if !spelled.chars().any(|character| is_special(profile, character)) {
        return Cow::Borrowed(spelled);
    }
    Cow::Owned(read_plain(profile, spelled))
}

fn read_plain(profile: Profile, spelled: &str) -> String {
    let mut out = String::with_capacity(spelled.len());
    let mut characters = spelled.chars();
    while let Some(character) = characters.next() {
        if character == QUOTE {
            out.push(characters.next().unwrap_or(QUOTE));
        } else {
            out.push(original(profile, character).unwrap_or(character));
        }
    }
    out
}

fn pairs(profile: Profile) -> &'static [(char, char)] {
    match profile {
        Profile::Posix | Profile::Mac => &LOOK_ALIKES[..POSIX_PAIRS],
        Profile::Windows => &LOOK_ALIKES,
    }
}

fn needs_nothing(profile: Profile, component: &str) -> bool {
    match profile {
        Profile::Posix | Profile::Mac => {
            // Without an early end, so that it runs over many bytes at once.
            let is_plain = |plain, byte| plain & (byte != b'/') & (byte != 0) & (byte < 0xe2);
            component.bytes().fold(true, is_plain)
                || component
                    .chars()
                    .all(|character| character != '/' && character != '\0' && !is_special(profile, character))
        }
        Profile::Windows => {
            let last = component.char_indices().next_back().map_or(0, |(index, _)| index);
            !is_device(component)
                && component.char_indices().all(|(index, character)| {
                    replaced(profile, character, index == last).is_none() && !is_special(profile, character)
                })
        }
    }
}

fn replaced(profile: Profile, character: char, last: bool) -> Option<char> {
    if let Some((_, look_alike)) = pairs(profile).iter().find(|(plain, _)| *plain == character) {
        return Some(*look_alike);
    }
    if profile == Profile::Windows {
        if character < ' ' {
            return char::from_u32(0x2400 + u32::from(character)); // control pictures
        }
        if last && let Some((_, look_alike)) = TRAILING.iter().find(|(plain, _)| *plain == character) {
            return Some(*look_alike);
        }
    }
    None
}

fn original(profile: Profile, character: char) -> Option<char> {
    if let Some((plain, _)) = pairs(profile).iter().find(|(_, look_alike)| *look_alike == character) {
        return Some(*plain);
    }
    if profile == Profile::Windows {
        if let Some((plain, _)) = TRAILING.iter().find(|(_, look_alike)| *look_alike == character) {
            return Some(*plain);
        }
        if ('\u{2401}'..'\u{2420}').contains(&character) {
            return char::from_u32(u32::from(character) - 0x2400);
        }
    }
    None
}

/// Whether reading would take the character for something else.
fn is_special(profile: Profile, character: char) -> bool {
    character == QUOTE || original(profile, character).is_some()
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    let is_numbered = |device: &&str| {
        let (Some(start), Some(rest)) = (stem.get(..device.len()), stem.get(device.len()..)) else { return false };
        let mut digits = rest.chars();
        start.eq_ignore_ascii_case(device)
            && matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    };
    DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) || NUMBERED_DEVICES.iter().any(is_numbered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_client_cannot_have_is_shown_by_look_alikes() {
        assert_eq!(spell(Profile::Posix, "a/b"), "a／b");
        assert_eq!(spell(Profile::Posix, r#"C:\x "y" "#), r#"C:\x "y" "#);
        assert_eq!(spell(Profile::Windows, "file.txt:stream"), "file.txt：stream");
        assert_eq!(spell(Profile::Windows, "dot."), "dot．");
        for device in ["con.txt", "NUL", "Com1.tar.gz", "lpt³", "CONIN$", "aux .c"] {
            assert_eq!(spell(Profile::Windows, device), format!("‛{device}"));
        }
        for plain in ["console", "com", "com10", "comö", "lpt", "nul_"] {
            assert_eq!(spell(Profile::Windows, plain), plain);
        }
        assert_eq!(spell(Profile::Posix, "a／b"), "a‛／b");
    }

    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            "\\PC{0,12}",
            proptest::collection::vec(
                prop_oneof![
                    Just('/'),
                    Just('\0'),
                    Just('／'),
                    Just('␀'),
                    Just('‛'),
                    Just(':'),
                    Just('：'),
                    Just('.'),
                    Just('．'),
                    Just(' '),
                    Just('␠'),
                    Just('\u{1}'),
                    Just('␁'),
                    Just('a'),
                    Just('ö'),
                ],
                0..10
            )
            .prop_map(|characters| characters.into_iter().collect()),
            prop_oneof![Just("con"), Just("NUL.txt"), Just("‛‛con"), Just("lpt1 .x"), Just("‛con")]
                .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn reading_a_spelling_gives_the_component_back(name in names()) {
            for profile in [Profile::Posix, Profile::Windows, Profile::Mac] {
                let spelled = spell(profile, &name).into_owned();
                let read = read(profile, &spelled).into_owned();
                prop_assert_eq!(&read, &name, "{:?} spelled {:?}", profile, spelled);
                prop_assert!(!spelled.contains('/') && !spelled.contains('\0'));
                if profile == Profile::Windows {
                    prop_assert!(!spelled.contains(['<', '>', ':', '"', '\\', '|', '?', '*']));
                    prop_assert!(!spelled.ends_with(['.', ' ']));
                }
            }
        }
    }
}
