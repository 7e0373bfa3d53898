//! The registry of the Windows-like endpoint: keys are directories, values are files with `_Data` (§4.6, §5.4).

use base64::Engine as _;

use crate::seeded::{self, Random};
use crate::tree::entry::{Entry, write_string};
use crate::tree::generated::wild;
use crate::tree::mode::Kind;
use crate::tree::stamp::Stamp;
use crate::tree::{Content, Failure, Opened};

/// Values from this size on have no `value` in their `_Data`.
const INLINE_LIMIT: usize = 4096;

/// A value and its data.
struct Value {
    name: String,
    data: Data,
}

enum Data {
    Text(&'static str, String),
    Multi(Vec<String>),
    Dword(u32),
    Qword(u64),
    Binary(Vec<u8>),
}

/// The entries of a key; `None` if there is none.
pub(super) fn list(seed: u64, path: &[String]) -> Option<Vec<Entry>> {
    let (real, keys, values) = find(seed, path)?;
    let stamp = written(seed, &real);
    let mut entries: Vec<Entry> = keys
        .into_iter()
        .map(|name| {
            let mut below = real.clone();
            below.push(name.clone());
            key_entry(name, written(seed, &below))
        })
        .collect();
    entries.extend(values.iter().map(|value| value_entry(value, stamp)));
    Some(entries)
}

/// One key or value.
pub(super) fn stat(seed: u64, path: &[String]) -> Option<Entry> {
    let (name, parent) = path.split_last()?;
    list(seed, parent)?.into_iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
}

/// Opens a value. DWORD and QWORD have no byte content; a key is a directory.
pub(super) fn open(seed: u64, path: &[String]) -> Option<Result<Opened, Failure>> {
    let (name, parent) = path.split_last()?;
    let (_, keys, values) = find(seed, parent)?;
    if let Some(value) = values.iter().find(|value| value.name.eq_ignore_ascii_case(name)) {
        let bytes = value.data.bytes();
        let size = bytes.len() as u64;
        return Some(Ok(Opened { content: Box::new(Bytes(bytes)), size, runs: None }));
    }
    keys.iter().any(|key| key.eq_ignore_ascii_case(name)).then(|| Err(Failure::directory()))
}

/// Sub-keys and values of a key, and its path as it is spelled.
fn find(seed: u64, path: &[String]) -> Option<(Vec<String>, Vec<String>, Vec<Value>)> {
    let mut real: Vec<String> = Vec::new();
    let (mut keys, mut values) = key(seed, &real);
    for part in path {
        let name = keys.iter().find(|key| key.eq_ignore_ascii_case(part))?.clone();
        real.push(name);
        (keys, values) = key(seed, &real);
    }
    Some((real, keys, values))
}

fn key(seed: u64, path: &[String]) -> (Vec<String>, Vec<Value>) {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = |name: &str, value: &str| Value { name: name.to_string(), data: Data::Text("SZ", value.to_string()) };
    match parts.as_slice() {
        [] => (
            names(&[
                "HKEY_CLASSES_ROOT",
                "HKEY_CURRENT_USER",
                "HKEY_LOCAL_MACHINE",
                "HKEY_USERS",
                "HKEY_CURRENT_CONFIG",
            ]),
            Vec::new(),
        ),
        ["HKEY_LOCAL_MACHINE"] => (names(&["HARDWARE", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"]), Vec::new()),
        ["HKEY_LOCAL_MACHINE", "SOFTWARE"] => {
            (names(&["Classes", "Google", "Microsoft", "Policies", "WOW6432Node"]), Vec::new())
        }
        ["HKEY_LOCAL_MACHINE", "SOFTWARE", "Microsoft"] => {
            (names(&["Windows", "Windows NT", "Windows Defender", "Office"]), Vec::new())
        }
        ["HKEY_LOCAL_MACHINE", "SOFTWARE", "Microsoft", "Windows"] => (names(&["CurrentVersion"]), Vec::new()),
        ["HKEY_LOCAL_MACHINE", "SOFTWARE", "Microsoft", "Windows", "CurrentVersion"] => {
            (names(&["Run", "RunOnce", "Uninstall", "Explorer"]), vec![text("ProgramFilesDir", "C:\\Program Files")])
        }
        [.., "CurrentVersion", "Run"] => (
            Vec::new(),
            vec![
                text("SecurityHealth", "%windir%\\system32\\SecurityHealthSystray.exe"),
                Value {
                    name: "Updater".to_string(),
                    data: Data::Text("EXPAND_SZ", "%APPDATA%\\updater\\u.exe -q".to_string()),
                },
            ],
        ),
        ["HKEY_LOCAL_MACHINE", "SOFTWARE", "Classes"] => (names(&[".txt", "MIME", "txtfile", "*"]), Vec::new()),
        [.., "Classes", "MIME"] => (names(&["Database"]), Vec::new()),
        [.., "MIME", "Database"] => (names(&["Content Type"]), Vec::new()),
        // Key names with a slash, and one with a backslash.
        [.., "Database", "Content Type"] => {
            (names(&["application/pdf", "text/plain", "image/png", "odd\\key"]), Vec::new())
        }
        [.., "Content Type", kind] => (Vec::new(), vec![text("@", kind), text("Extension", ".bin")]),
        [.., "Classes", ".txt"] => (Vec::new(), vec![text("@", "txtfile"), text("PerceivedType", "text")]),
        ["HKEY_LOCAL_MACHINE", "SYSTEM"] => (names(&["CurrentControlSet", "Select", "Setup", "Types"]), Vec::new()),
        ["HKEY_LOCAL_MACHINE", "SYSTEM", "Types"] => (Vec::new(), every_type(seed)),
        ["HKEY_LOCAL_MACHINE", "SYSTEM", "Select"] => {
            (Vec::new(), vec![Value { name: "Current".to_string(), data: Data::Dword(1) }])
        }
        ["HKEY_USERS"] => {
            (names(&[".DEFAULT", "S-1-5-18", "S-1-5-21-1004336348-1177238915-682003330-1001"]), Vec::new())
        }
        _ => ordinary(seed, path),
    }
}

/// One value of each type, an empty one, and one that is too large to be shown in its row.
fn every_type(seed: u64) -> Vec<Value> {
    let value = |name: &str, data: Data| Value { name: name.to_string(), data };
    let large: Vec<u8> = (0..8192u64).map(|place| seeded::mix(seed ^ place).to_le_bytes()[0]).collect();
    vec![
        value("@", Data::Text("SZ", "default value".to_string())),
        value("text", Data::Text("SZ", "caf\u{e9}".to_string())),
        value("empty", Data::Text("SZ", String::new())),
        value("expand", Data::Text("EXPAND_SZ", "%SystemRoot%\\x".to_string())),
        value("multi", Data::Multi(vec!["one".to_string(), "two \"quoted\"".to_string()])),
        value("dword", Data::Dword(4_294_967_295)),
        value("qword", Data::Qword(u64::MAX)),
        value("binary", Data::Binary(vec![0, 1, 2, 253, 254, 255])),
        value("large", Data::Binary(large)),
        value("a/b\\c", Data::Text("SZ", "slashes in a value's name".to_string())),
    ]
}

fn ordinary(seed: u64, path: &[String]) -> (Vec<String>, Vec<Value>) {
    let mut random = Random::new(seeded::hash_path(seed ^ 0x7265_6769, path));
    let mut keys = Vec::new();
    if path.len() < 7 {
        for number in 0..random.below(9) {
            keys.push(format!("{}{number}", wild::word(random.next(), random.below(90))));
        }
    }
    let mut values = Vec::new();
    for number in 0..random.below(7) {
        let data = match random.below(4) {
            0 => Data::Dword(u32::try_from(random.below(100_000)).unwrap_or_default()),
            1 => Data::Binary((0..random.below(64)).map(|_| random.next().to_le_bytes()[0]).collect()),
            2 => Data::Qword(random.next()),
            _ => Data::Text("SZ", format!("C:\\Program Files\\{}", wild::word(random.next(), number))),
        };
        values.push(Value { name: format!("{}{number}", wild::word(random.next(), number)), data });
    }
    (keys, values)
}

/// All four times of keys and values are the key's last write.
fn written(seed: u64, path: &[String]) -> Stamp {
    let hash = seeded::hash_path(seed ^ 0x7772_6974, path);
    let seconds = 1_577_836_800 + i64::try_from(hash % 200_000_000).unwrap_or_default();
    let nanoseconds = u32::try_from((hash >> 32) % 10_000_000).unwrap_or_default() * 100;
    Stamp::new(seconds, nanoseconds)
}

fn key_entry(name: String, stamp: Stamp) -> Entry {
    entry(name, "{\"type\":\"key\"}".to_string(), 0, "drwxr-xr-x", Kind::Directory, stamp)
}

fn value_entry(value: &Value, stamp: Stamp) -> Entry {
    let mut data = format!("{{\"type\":\"{}\"", value.data.kind());
    if value.data.registry_size() < INLINE_LIMIT {
        data.push_str(",\"value\":");
        data.push_str(&value.data.json());
    }
    data.push('}');
    entry(value.name.clone(), data, value.data.registry_size() as u64, "-rwxr-xr-x", Kind::File, stamp)
}

fn entry(name: String, data: String, size: u64, mode: &str, kind: Kind, stamp: Stamp) -> Entry {
    Entry { name, data, size, mode: mode.to_string(), kind, mtime: stamp, atime: stamp, ctime: stamp, btime: stamp }
}

impl Data {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(kind, _) => kind,
            Self::Multi(_) => "MULTI_SZ",
            Self::Dword(_) => "DWORD",
            Self::Qword(_) => "QWORD",
            Self::Binary(_) => "BINARY",
        }
    }

    /// The registry's own byte count: UTF-16 with its NUL for text, so not the length of the content.
    fn registry_size(&self) -> usize {
        let utf16 = |text: &str| text.encode_utf16().count() * 2 + 2;
        match self {
            Self::Text(_, text) => utf16(text),
            Self::Multi(items) => items.iter().map(|item| utf16(item)).sum::<usize>() + 2,
            Self::Dword(_) => 4,
            Self::Qword(_) => 8,
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn json(&self) -> String {
        let mut json = String::new();
        match self {
            Self::Text(_, text) => write_string(&mut json, text),
            Self::Multi(items) => json = crate::tree::entry::string_array(items),
            Self::Dword(number) => json = number.to_string(),
            Self::Qword(number) => json = number.to_string(),
            Self::Binary(bytes) => {
                write_string(&mut json, &base64::engine::general_purpose::STANDARD.encode(bytes));
            }
        }
        json
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(_, text) => text.clone().into_bytes(),
            Self::Multi(items) => crate::tree::entry::string_array(items).into_bytes(),
            Self::Dword(_) | Self::Qword(_) => Vec::new(),
            Self::Binary(bytes) => bytes.clone(),
        }
    }
}

struct Bytes(Vec<u8>);

impl Content for Bytes {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(rest.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(parts: &[&str]) -> Vec<String> {
        parts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_tell_their_type_and_content_and_large_ones_only_their_type() {
        let entries = list(1, &path(&["HKEY_LOCAL_MACHINE", "SYSTEM", "Types"])).unwrap();
        let data = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().data.clone();
        assert_eq!(data("dword"), r#"{"type":"DWORD","value":4294967295}"#);
        assert_eq!(data("qword"), r#"{"type":"QWORD","value":18446744073709551615}"#);
        assert_eq!(data("binary"), r#"{"type":"BINARY","value":"AAEC/f7/"}"#);
        assert_eq!(data("large"), r#"{"type":"BINARY"}"#);
        let text = entries.iter().find(|entry| entry.name == "text").unwrap();
        assert_eq!((text.size, text.mode.as_str()), (10, "-rwxr-xr-x"));
    }

    #[test]
    fn keys_are_found_without_regard_to_case_and_names_may_hold_slashes() {
        let base = ["hkey_local_machine", "software", "classes", "mime", "database", "content type"];
        let entries = list(1, &path(&base)).unwrap();
        assert!(entries.iter().any(|entry| entry.name == "application/pdf"));
        assert!(list(1, &path(&["HKEY_LOCAL_MACHINE", "NOPE"])).is_none());
    }
}
