//! Entries of one directory whose names some client cannot tell apart: Windows ignores case, macOS takes accents apart. All but the
//! first of such entries get a mark that only depends on what they are, so that no refresh makes one name lead to another's bytes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use unicode_normalization::UnicodeNormalization;
use xxhash_rust::xxh3::xxh3_64;

use super::seal::fold;
use super::{Entry, Rows, Snapshot};
use crate::name::Profile;

/// What was found out, at the first listing or look-up that needs it.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// Entries whose names differ from an earlier one's in nothing but case.
    case: OnceLock<HashSet<u32>>,
    /// Names beyond ASCII with their accents put together, and the first entry of each.
    composed: OnceLock<HashMap<Box<str>, u32>>,
}

/// Digits of a mark.
const DIGITS: usize = 8;

impl Snapshot {
    /// The spelled name of an entry with a mark before its extension, if this client could not tell it from an earlier entry:
    /// `readme (case 1f0c22ab).txt`.
    pub(super) fn marked<'a>(&self, spelled: Cow<'a, str>, entry: &Entry<'_>, profile: Profile) -> Cow<'a, str> {
        if !self.is_twin(entry, profile) {
            return spelled;
        }
        let extension = spelled.rfind('.').filter(|at| *at > 0).unwrap_or(spelled.len());
        let (stem, extension) = spelled.split_at(extension);
        Cow::Owned(format!("{stem}{}{:08x}){extension}", opening(profile), digits(entry)))
    }

    /// The entry that is shown under this marked name.
    pub fn by_marked_name(&self, component: &str, profile: Profile) -> Option<Entry<'_>> {
        if profile == Profile::Posix {
            return None;
        }
        let opening = opening(profile);
        component.rmatch_indices(opening).find_map(|(at, _)| {
            let mark = component.get(at + opening.len()..)?;
            let (hex, rest) = (mark.get(..DIGITS)?, mark.get(DIGITS..)?.strip_prefix(')')?);
            let digits_of_mark = u32::from_str_radix(hex, 16).ok()?;
            let name = format!("{}{rest}", &component[..at]);
            self.entries().find(|entry| {
                digits(entry) == digits_of_mark
                    && is_same(entry.row.shown(), &name, profile)
                    && self.is_twin(entry, profile)
            })
        })
    }

    /// The first entry whose name is `name`, however their accents are composed.
    pub fn by_composed_name(&self, name: &str) -> Option<Entry<'_>> {
        let composed: String = name.nfc().collect();
        self.entry(*self.composed().get(composed.as_str())?)
    }

    fn is_twin(&self, entry: &Entry<'_>, profile: Profile) -> bool {
        match profile {
            Profile::Posix => false,
            Profile::Windows => self.twins.case.get_or_init(|| differ_in_case(self.rows())).contains(&entry.ordinal),
            Profile::Mac => {
                let name = entry.row.shown();
                !name.is_ascii() && self.by_composed_name(name).is_some_and(|first| first.ordinal != entry.ordinal)
            }
        }
    }

    fn composed(&self) -> &HashMap<Box<str>, u32> {
        self.twins.composed.get_or_init(|| {
            let mut composed = HashMap::new();
            for (ordinal, row) in (0u32..).zip(self.rows().iter()).filter(|(_, row)| !row.shown().is_ascii()) {
                let name: String = row.shown().nfc().collect();
                composed.entry(name.into_boxed_str()).or_insert(ordinal);
            }
            composed
        })
    }
}

fn is_same(shown: &str, name: &str, profile: Profile) -> bool {
    shown == name || profile == Profile::Mac && shown.nfc().eq(name.nfc())
}

fn opening(profile: Profile) -> &'static str {
    if profile == Profile::Mac { " (form " } else { " (case " }
}

#[allow(clippy::cast_possible_truncation)] // the shift leaves 32 bits
fn digits(entry: &Entry<'_>) -> u32 {
    (entry.identity.0 >> 96) as u32
}

/// By hashes, so that a large directory needs no copy of its names.
fn differ_in_case(rows: &Rows) -> HashSet<u32> {
    let mut hashes: Vec<(u64, u32)> =
        (0u32..).zip(rows.iter()).map(|(ordinal, row)| (xxh3_64(fold(row.shown()).as_bytes()), ordinal)).collect();
    hashes.sort_unstable();
    let mut twins = HashSet::new();
    for alike in hashes.chunk_by(|left, right| left.0 == right.0).filter(|alike| alike.len() > 1) {
        let mut seen = HashSet::new();
        for (_, ordinal) in alike {
            if let Some(row) = rows.row(*ordinal)
                && !seen.insert(fold(row.shown()))
            {
                twins.insert(*ordinal);
            }
        }
    }
    twins
}

#[cfg(test)]
mod tests {
    use super::super::seal::tests::sealed;
    use super::*;
    use proptest::prelude::*;

    fn shown(snapshot: &Snapshot, profile: Profile) -> Vec<String> {
        snapshot.entries().map(|entry| snapshot.spelled(&entry, profile).into_owned()).collect()
    }

    #[test]
    fn twins_are_marked_before_their_extension_and_only_for_whom_they_are_twins() {
        let (snapshot, _) = sealed(&["README.txt", "readme.txt", "caf\u{e9}", "cafe\u{301}", "plain"]);
        let windows = shown(&snapshot, Profile::Windows);
        assert_eq!(windows[0], "README.txt");
        assert!(windows[1].starts_with("readme (case ") && windows[1].ends_with(").txt"), "{}", windows[1]);
        assert_eq!(windows[3], "cafe\u{301}");
        let mac = shown(&snapshot, Profile::Mac);
        assert_eq!((mac[1].as_str(), mac[2].as_str()), ("readme.txt", "caf\u{e9}"));
        assert!(mac[3].starts_with("cafe\u{301} (form "), "{}", mac[3]);
        assert_eq!(
            snapshot.by_composed_name("cafe\u{301}").unwrap().ordinal,
            2,
            "what Finder asks for is what it shows"
        );
    }

    #[test]
    fn a_mark_does_not_depend_on_the_order_of_a_listing() {
        let (one, _) = sealed(&["A", "a", "b"]);
        let (other, _) = sealed(&["b", "x", "A", "a"]);
        assert_eq!(shown(&one, Profile::Windows)[1], shown(&other, Profile::Windows)[3]);
    }

    proptest! {
        #[test]
        fn no_client_sees_one_name_twice_and_each_leads_back(
            names in proptest::collection::hash_set("[aAbB.:：‛ é]{1,4}|[eE]\u{301}|[Éé]", 0..40)
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (snapshot, keys) = sealed(&names);
            for profile in [Profile::Windows, Profile::Mac] {
                let mut seen = HashSet::new();
                for entry in snapshot.entries() {
                    let spelled = snapshot.spelled(&entry, profile).into_owned();
                    let as_client_compares: String = match profile {
                        Profile::Windows => fold(&spelled).into(),
                        _ => spelled.nfc().collect(),
                    };
                    prop_assert!(seen.insert(as_client_compares), "{spelled:?}");
                    let mut component = profile.read(&spelled).into_owned();
                    if profile == Profile::Mac {
                        component = component.nfd().collect();
                    }
                    let marked = snapshot.by_marked_name(&component, profile);
                    let found = marked.or_else(|| match profile {
                        Profile::Mac if !component.is_ascii() => snapshot.by_composed_name(&component),
                        _ => snapshot.by_name(&component, &keys),
                    });
                    prop_assert_eq!(found.map(|found| found.ordinal), Some(entry.ordinal), "{:?} {}", profile, spelled);
                }
            }
        }
    }
}
