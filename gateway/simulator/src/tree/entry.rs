//! One entry of a listing, and its row in the flow's table (§4.6).

use std::fmt::Write;

use crate::tree::mode::Kind;
use crate::tree::stamp::Stamp;

/// Columns of `System.VFS.ListDirectory/Listing`, in the order of the wire.
pub(crate) const LISTING_COLUMNS: [&str; 12] = [
    "_OSPath",
    "_Components",
    "_Accessor",
    "_Data",
    "Name",
    "Size",
    "Mode",
    "mtime",
    "atime",
    "ctime",
    "btime",
    "_Idx",
];

/// One entry of a directory as its accessor tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name, with U+FFFD for each byte that is no UTF-8.
    pub(crate) name: String,
    /// `_Data` as JSON text.
    pub(crate) data: String,
    /// `Size`.
    pub(crate) size: u64,
    /// `Mode`.
    pub(crate) mode: String,
    /// What it is.
    pub(crate) kind: Kind,
    pub(crate) mtime: Stamp,
    pub(crate) atime: Stamp,
    pub(crate) ctime: Stamp,
    pub(crate) btime: Stamp,
}

impl Entry {
    /// The row as a JSON array. `components` and `os_path` are those of the directory.
    pub(crate) fn row(&self, place: &Place<'_>, index: u64) -> String {
        let mut row = String::with_capacity(320);
        row.push('[');
        self.write_columns(&mut row, place, index);
        row.push(']');
        row
    }

    /// The columns of the row, without brackets.
    pub(crate) fn write_columns(&self, row: &mut String, place: &Place<'_>, index: u64) {
        write_string(row, &place.child_path(&self.name));
        row.push_str(",[");
        for component in place.components {
            write_string(row, component);
            row.push(',');
        }
        write_string(row, &self.name);
        row.push_str("],");
        write_string(row, place.accessor);
        row.push(',');
        row.push_str(&self.data);
        row.push(',');
        write_string(row, &self.name);
        let _ = write!(row, ",{},", self.size);
        write_string(row, &self.mode);
        let _ = write!(row, ",\"{}\",\"{}\",\"{}\",\"{}\",{index}", self.mtime, self.atime, self.ctime, self.btime);
    }
}

/// Where an entry was found.
pub(crate) struct Place<'a> {
    pub(crate) accessor: &'a str,
    pub(crate) components: &'a [String],
    pub(crate) windows: bool,
}

impl Place<'_> {
    fn child_path(&self, name: &str) -> String {
        let mut path = self.components.to_vec();
        path.push(name.to_string());
        if self.windows { super::windows_path(&path) } else { super::unix_path(&path) }
    }
}

/// Appends a JSON string.
pub(crate) fn write_string(row: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => row.push_str(&quoted),
        Err(_) => row.push_str("\"\""),
    }
}

/// A JSON array of strings.
pub(crate) fn string_array(items: &[String]) -> String {
    let mut text = String::from("[");
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        write_string(&mut text, item);
    }
    text.push(']');
    text
}

/// Bytes of a name as they arrive at the server: each byte that is no UTF-8 becomes one U+FFFD (§4.2).
pub(crate) fn name_as_seen(bytes: &[u8]) -> String {
    let mut name = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                name.push_str(text);
                return name;
            }
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                name.push_str(std::str::from_utf8(good).unwrap_or_default());
                name.push('\u{fffd}');
                rest = bad.get(1..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_byte_of_a_name_becomes_one_replacement_character() {
        assert_eq!(name_as_seen(b"bad\xff\xfename.txt"), "bad\u{fffd}\u{fffd}name.txt");
        assert_eq!(name_as_seen(b"\xed\xa0\x80surr"), "\u{fffd}\u{fffd}\u{fffd}surr");
        assert_eq!(name_as_seen("emoji-😀".as_bytes()), "emoji-😀");
    }

    #[test]
    fn a_row_is_a_json_array_in_the_order_of_the_columns() {
        let entry = Entry {
            name: "f\"1\n.txt".to_string(),
            data: r#"{"DevMajor":254}"#.to_string(),
            size: 100,
            mode: "-rw-r--r--".to_string(),
            kind: Kind::File,
            mtime: Stamp::new(0, 5),
            atime: Stamp::UNKNOWN,
            ctime: Stamp::UNKNOWN,
            btime: Stamp::UNKNOWN,
        };
        let components = ["srv".to_string()];
        let place = Place { accessor: "auto", components: &components, windows: false };
        let row: Vec<serde_json::Value> = serde_json::from_str(&entry.row(&place, 7)).unwrap();
        assert_eq!(row.len(), LISTING_COLUMNS.len());
        assert_eq!(row[0], "/srv/f\"1\n.txt");
        assert_eq!(row[1], serde_json::json!(["srv", "f\"1\n.txt"]));
        assert_eq!(row[11], 7);
    }
}
