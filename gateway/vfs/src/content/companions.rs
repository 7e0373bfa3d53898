//! Files that make sense only together (D10): who opens one of them collects all of them in one delivery, so that they fit each other.

use crate::attributes::FileType;
use crate::snapshot::{Entry, Snapshot};

/// Endings that a file's journals add to its name.
const JOURNALS: [&str; 6] = [".log1", ".log2", ".log", "-wal", "-shm", "-journal"];

/// ESE databases: name, and how the names of their logs and check points begin and end.
const DATABASES: [(&str, &[(&str, &str)]); 7] = [
    ("srudb.dat", &[("sru", ".log"), ("sru", ".chk"), ("sru", ".jrs")]),
    ("ntds.dit", &[("edb", ".log"), ("edb", ".chk"), ("edb", ".jrs")]),
    ("windows.edb", &[("edb", ".log"), ("edb", ".jtx"), ("edb", ".chk"), ("edb", ".jcp")]),
    ("webcachev01.dat", &[("v01", ".log"), ("v01", ".chk"), ("v01", ".jrs")]),
    ("qmgr.db", &[("edb", ".log"), ("edb", ".chk"), ("edb", ".jtx")]),
    ("datastore.edb", &[("edb", ".log"), ("edb", ".chk")]),
    ("current.mdb", &[("edb", ".log"), ("edb", ".chk")]),
];

/// Companions of one file at most.
const COMPANIONS: usize = 64;

/// The listed files that belong to the one called `name` and can be collected.
pub(crate) fn companions<'a>(snapshot: &'a Snapshot, name: &str) -> Vec<Entry<'a>> {
    let set = Set::of(name);
    let is_companion = |entry: &Entry<'_>| {
        let row = &entry.row;
        set.has(row.name()) && row.file_type() == FileType::Regular && row.size() > 0 && !row.unfetchable()
    };
    snapshot.entries().filter(is_companion).take(COMPANIONS).collect()
}

/// What belongs together with one file.
struct Set<'a> {
    name: &'a str,
    base: &'a str,
}

impl<'a> Set<'a> {
    /// The set of the file called `name`.
    fn of(name: &'a str) -> Set<'a> {
        Set { name, base: without_journal(name) }
    }

    /// Whether another file of the same directory belongs to it. Asked of every entry of a directory, so nothing is allocated.
    fn has(&self, other: &str) -> bool {
        if other.eq_ignore_ascii_case(self.name) {
            return false;
        }
        let other_base = without_journal(other);
        // A file that ends like a journal may be one of its own kind: then it has no base in the directory, and no set.
        let of_one_file = [(self.base, other_base), (self.base, other), (self.name, other_base)]
            .iter()
            .any(|(one, other)| one.eq_ignore_ascii_case(other));
        of_one_file
            || DATABASES.iter().any(|(database, logs)| {
                let is_database = |name: &str| name.eq_ignore_ascii_case(database);
                let is_log =
                    |name: &str| logs.iter().any(|(begin, end)| begins(name, begin) && ends(name, end).is_some());
                is_database(self.name) && is_log(other) || is_database(other) && is_log(self.name)
            })
    }
}

/// Whether a file of a directory may have companions in it; `exists`: whether it has a file of this name in lower case. Asked of many files
/// of a large directory, so it does not look at every other one.
pub(super) fn may_have_companions(name: &str, exists: impl Fn(&str) -> bool) -> bool {
    let name = name.to_ascii_lowercase();
    let base = without_journal(&name);
    let journal_of = |of: &str| {
        JOURNALS.iter().any(|ending| {
            let other = format!("{of}{ending}");
            other != name && exists(&other)
        })
    };
    let of_one_file = base != name && exists(base) || journal_of(base) || journal_of(&name);
    let of_database = DATABASES.iter().any(|(database, logs)| {
        name == *database
            || exists(database) && logs.iter().any(|(begin, end)| begins(&name, begin) && ends(&name, end).is_some())
    });
    of_one_file || of_database
}

fn without_journal(name: &str) -> &str {
    JOURNALS.iter().find_map(|ending| ends(name, ending)).filter(|base| !base.is_empty()).unwrap_or(name)
}

fn begins(name: &str, beginning: &str) -> bool {
    name.get(..beginning.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(beginning))
}

/// What comes before the ending.
fn ends<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let (base, end) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
    end.eq_ignore_ascii_case(ending).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_known_whichever_member_is_opened() {
        for (one, other) in [
            ("NTUSER.DAT", "ntuser.dat.LOG1"),
            ("SYSTEM.LOG1", "SYSTEM.LOG2"),
            ("Amcache.hve", "Amcache.hve.LOG2"),
            ("History", "History-journal"),
            ("places.sqlite-shm", "places.sqlite-wal"),
            ("SRUDB.dat", "SRU00042.log"),
            ("WebCacheV01.dat", "V01.chk"),
            ("ntds.dit", "edb00001.jrs"),
        ] {
            assert!(Set::of(one).has(other) && Set::of(other).has(one), "{one} and {other}");
        }
        for (one, other) in [
            ("SYSTEM", "SOFTWARE"),
            ("a.log", "b.log"),
            ("SYSTEM", "SYSTEM"),
            ("edb00001.log", "edb00002.log"),
            ("x", "x.txt"),
        ] {
            assert!(!Set::of(one).has(other), "{one} and {other}");
        }
    }

    proptest! {
        #[test]
        fn belonging_together_is_mutual(one in "[a-cA-C]{0,2}(\\.log1|\\.LOG|-wal|edb\\.log)?|edb.log|ntds.dit", other in "[a-cA-C]{0,2}(\\.log2|-shm)?|edb.chk") {
            prop_assert_eq!(Set::of(&one).has(&other), Set::of(&other).has(&one));
        }
    }
}
