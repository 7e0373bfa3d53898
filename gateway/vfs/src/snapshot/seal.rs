//! Sealing rows for a place in the tree: identities and the indices by identity, shown name and folded name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use super::rows::{Row, Rows};
use super::twins::Twins;
use crate::name::Profile;
use crate::node::{Identity, Keys};

/// One directory as one job saw it, ready to be served.
#[derive(Debug)]
pub struct Snapshot {
    rows: Rows,
    parent: Identity,
    identities: Vec<Identity>,
    /// Open addressing by the low bits of the identity; `u32::MAX` is free. At most half full.
    index: Vec<u32>,
    /// Names that are shown otherwise than they are addressed, and drive letters without colon (D21).
    aliases: HashMap<Box<str>, u32>,
    /// Lower-case names of directories that ignore case, made at the first look-up that needs them.
    folded: OnceLock<HashMap<Box<str>, u32>>,
    /// Names that some client cannot tell from another one here.
    pub(super) twins: Twins,
}

const FREE: u32 = u32::MAX;
/// Bytes of the longest name that every client takes.
const NAME_MAX: usize = 255;
const SHORTENED_TAIL: usize = 17;

impl Snapshot {
    /// Seals `rows` as the content of the directory `parent`.
    pub fn seal(mut rows: Rows, parent: Identity, keys: &Keys) -> Snapshot {
        rows.shrink();
        let count = rows.len();
        let slots = (count * 2).next_power_of_two().max(2);
        let mut snapshot = Snapshot {
            identities: Vec::with_capacity(count),
            index: vec![FREE; slots],
            aliases: HashMap::new(),
            folded: OnceLock::new(),
            twins: Twins::default(),
            rows,
            parent,
        };
        for ordinal in 0..u32::try_from(count).unwrap_or(FREE) {
            let Some(row) = snapshot.rows.row(ordinal) else {
                break;
            };
            let name = row.name();
            let mut identity = keys.child(parent, name, 0);
            // Names that were no UTF-8 can look alike: they stay separate objects (D7).
            let mut occurrence = 0;
            while snapshot.find(identity).is_some() {
                occurrence += 1;
                identity = keys.child(parent, name, occurrence);
            }
            let alias = (row.shown() != name).then(|| Box::<str>::from(row.shown()));
            snapshot.identities.push(identity);
            snapshot.insert(identity, ordinal);
            if let Some(alias) = alias {
                snapshot.aliases.entry(alias).or_insert(ordinal);
            }
        }
        snapshot.add_drive_aliases();
        snapshot
    }

    /// Number of entries.
    #[allow(clippy::cast_possible_truncation)] // `Rows::push` keeps it below 2^32
    pub fn len(&self) -> u32 {
        self.identities.len() as u32
    }

    /// Whether the directory is empty.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Identity of the directory.
    pub fn parent(&self) -> Identity {
        self.parent
    }

    /// The rows below.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The entry at `ordinal` in the job's order.
    pub fn entry(&self, ordinal: u32) -> Option<Entry<'_>> {
        let row = self.rows.row(ordinal)?;
        let identity = *self.identities.get(ordinal as usize)?;
        Some(Entry { row, identity, ordinal })
    }

    /// The entry with this identity.
    pub fn by_identity(&self, identity: Identity) -> Option<Entry<'_>> {
        self.entry(self.find(identity)?)
    }

    /// The entry called `name`: its raw component, the name it is shown under, or a drive letter without colon (D21).
    /// Exact case.
    pub fn by_name(&self, name: &str, keys: &Keys) -> Option<Entry<'_>> {
        if let Some(entry) = self.by_identity(keys.child(self.parent, name, 0))
            && entry.row.name() == name
        {
            return Some(entry);
        }
        self.entry(*self.aliases.get(name)?)
    }

    /// The first entry whose name is `name` but for case. The exact spelling is tried by [`Snapshot::by_name`] before.
    pub fn by_folded_name(&self, name: &str) -> Option<Entry<'_>> {
        let folded = self.folded.get_or_init(|| {
            let mut map = HashMap::with_capacity(self.identities.len());
            for (ordinal, row) in (0u32..).zip(self.rows.iter()) {
                map.entry(fold(row.name())).or_insert(ordinal);
            }
            for (alias, ordinal) in &self.aliases {
                map.entry(fold(alias)).or_insert(*ordinal);
            }
            map
        });
        self.entry(*folded.get(&fold(name))?)
    }

    /// The name of an entry as a client of `profile` sees it. Names longer than 255 bytes would make the Linux client
    /// refuse the whole listing (it takes 255), so they are cut and end in `~` and 16 hex digits of the identity. What the client
    /// could not tell from another entry is marked by its identity, too.
    pub fn spelled<'a>(&self, entry: &Entry<'a>, profile: Profile) -> Cow<'a, str> {
        let spelled = self.marked(profile.spell(entry.row.shown()), entry, profile);
        if spelled.len() <= NAME_MAX {
            return spelled;
        }
        let mut cut = NAME_MAX - SHORTENED_TAIL;
        while !spelled.is_char_boundary(cut) {
            cut -= 1;
        }
        Cow::Owned(format!("{}~{:016x}", &spelled[..cut], entry.identity.0 >> 64))
    }

    /// The entry that is shown under this shortened name ([`Snapshot::spelled`]).
    pub fn by_shortened_name(&self, name: &str) -> Option<Entry<'_>> {
        if name.len() < NAME_MAX - SHORTENED_TAIL - 3 || name.len() > NAME_MAX {
            return None;
        }
        let (_, digits) = name.rsplit_once('~').filter(|(_, digits)| digits.len() == 16)?;
        let high = u64::from_str_radix(digits, 16).ok()?;
        let ordinal = self.identities.iter().position(|identity| identity.0 >> 64 == u128::from(high))?;
        self.entry(u32::try_from(ordinal).ok()?)
    }

    /// All entries in the job's order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).filter_map(|ordinal| self.entry(ordinal))
    }

    /// Bytes of memory in use, roughly.
    pub fn memory(&self) -> usize {
        self.rows.memory() + self.identities.capacity() * 16 + self.index.capacity() * 4 + 256
    }

    fn find(&self, identity: Identity) -> Option<u32> {
        let mask = self.index.len() - 1;
        let mut slot = slot_of(identity) & mask;
        loop {
            let ordinal = *self.index.get(slot)?;
            if ordinal == FREE {
                return None;
            }
            if self.identities.get(ordinal as usize) == Some(&identity) {
                return Some(ordinal);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn insert(&mut self, identity: Identity, ordinal: u32) {
        let mask = self.index.len() - 1;
        let mut slot = slot_of(identity) & mask;
        while self.index[slot] != FREE {
            slot = (slot + 1) & mask;
        }
        self.index[slot] = ordinal;
    }

    /// `C:` is reachable as `C` and `c` too, unless something is really called so (D21).
    fn add_drive_aliases(&mut self) {
        let mut found = Vec::new();
        for (ordinal, row) in (0u32..).zip(self.rows.iter()) {
            if let [letter, b':'] = row.shown().as_bytes()
                && letter.is_ascii_alphabetic()
            {
                found.push((char::from(*letter), ordinal));
            }
        }
        for (letter, ordinal) in found {
            for alias in [letter.to_ascii_uppercase().to_string(), letter.to_ascii_lowercase().to_string()] {
                self.aliases.entry(alias.into_boxed_str()).or_insert(ordinal);
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // a hash: any bits do
fn slot_of(identity: Identity) -> usize {
    (identity.0 >> 64) as usize
}

/// Case folding that is close to what NTFS does: simple upper-case mapping, character by character.
pub(super) fn fold(name: &str) -> Box<str> {
    if name.is_ascii() {
        return name.to_ascii_lowercase().into_boxed_str();
    }
    name.chars()
        .map(|character| {
            let mut upper = character.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(single), None) => single,
                _ => character,
            }
        })
        .map(|character| if character.is_ascii() { character.to_ascii_lowercase() } else { character })
        .collect::<String>()
        .into_boxed_str()
}

/// One entry of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// What the endpoint said of it.
    pub row: Row<'a>,
    /// Its identity.
    pub identity: Identity,
    /// Its place in the job's order.
    pub ordinal: u32,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::attributes::FileType;
    use crate::snapshot::{EntryFields, Times};
    use proptest::prelude::*;

    pub(crate) fn fields(name: &str) -> EntryFields<'_> {
        EntryFields {
            name,
            shown: None,
            file_type: FileType::Regular,
            mode: 0o644,
            size: 1,
            size_unknown: false,
            unfetchable: false,
            times: Times::default(),
            link: None,
            inline: None,
            details: None,
        }
    }

    pub(crate) fn sealed(names: &[&str]) -> (Snapshot, Keys) {
        let keys = Keys::new(&[1; 32]);
        let mut rows = Rows::new();
        for name in names {
            assert!(rows.push(&fields(name)));
        }
        (Snapshot::seal(rows, Identity(5), &keys), keys)
    }

    #[test]
    fn names_that_look_alike_stay_separate_objects() {
        let (snapshot, keys) = sealed(&["a\u{fffd}", "b", "a\u{fffd}"]);
        assert_eq!(snapshot.len(), 3);
        let identities: std::collections::HashSet<_> = snapshot.entries().map(|entry| entry.identity).collect();
        assert_eq!(identities.len(), 3);
        assert_eq!(snapshot.by_name("a\u{fffd}", &keys).unwrap().ordinal, 0);
    }

    #[test]
    fn drives_are_found_with_and_without_colon() {
        let keys = Keys::new(&[1; 32]);
        let mut rows = Rows::new();
        assert!(rows.push(&EntryFields { shown: Some("C:"), ..fields(r"\\.\C:") }));
        let snapshot = Snapshot::seal(rows, Identity(5), &keys);
        for name in [r"\\.\C:", "C:", "C", "c"] {
            assert_eq!(snapshot.by_name(name, &keys).map(|entry| entry.ordinal), Some(0), "{name}");
        }
        assert!(snapshot.by_name("D", &keys).is_none());
        assert_eq!(snapshot.by_folded_name("c:").unwrap().ordinal, 0);
    }

    #[test]
    fn folding_finds_the_stored_spelling() {
        let (snapshot, keys) = sealed(&["Windows", "Grüße", "STRASSE"]);
        assert!(snapshot.by_name("windows", &keys).is_none());
        assert_eq!(snapshot.by_folded_name("WINDOWS").unwrap().row.name(), "Windows");
        assert_eq!(snapshot.by_folded_name("GRÜßE").unwrap().row.name(), "Grüße");
        assert!(snapshot.by_folded_name("straße").is_none());
    }

    #[test]
    fn names_too_long_for_the_client_are_cut_and_found_again() {
        let long = "ö".repeat(200);
        let other = format!("{long}x");
        let wide = ":".repeat(100); // three bytes each, as Windows sees them
        let (snapshot, _) = sealed(&[&long, &other, &wide, "short"]);
        let mut seen = std::collections::HashSet::new();
        for entry in snapshot.entries().take(3) {
            let profile = if entry.ordinal == 2 { Profile::Windows } else { Profile::Posix };
            let spelled = snapshot.spelled(&entry, profile).into_owned();
            assert!(spelled.len() <= NAME_MAX && seen.insert(spelled.clone()));
            assert_eq!(snapshot.by_shortened_name(&spelled).unwrap().ordinal, entry.ordinal);
        }
    }

    proptest! {
        #[test]
        fn every_entry_is_found_by_name_and_by_identity(names in proptest::collection::hash_set("[a-z/\\\\]{1,6}", 0..200)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (snapshot, keys) = sealed(&names);
            for (ordinal, name) in names.iter().enumerate() {
                let entry = snapshot.by_name(name, &keys).unwrap();
                prop_assert_eq!(entry.ordinal as usize, ordinal);
                prop_assert_eq!(snapshot.by_identity(entry.identity).unwrap().ordinal as usize, ordinal);
            }
            prop_assert!(snapshot.by_name("UPPER", &keys).is_none());
        }
    }
}
