//! One row of a listing becomes one entry of the VFS (docs/velociraptor-api.md §4.6).

mod mode;
mod registry;
pub(crate) mod time;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use velociraptor_proto::proto;
use vfs::snapshot::{EntryFields, Rows, Times};
use vfs::{EndpointPath, FileType};

use crate::table::{self, Field, Fields, json_text};

/// Where the columns of a listing are in one page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    pub(crate) download: Option<usize>,
    pub(crate) components: Option<usize>,
    pub(crate) index: Option<usize>,
    pub(crate) directory: Option<usize>,
    pub(crate) stats: Option<usize>,
    name: Option<usize>,
    data: Option<usize>,
    size: Option<usize>,
    mode: Option<usize>,
    modified: Option<usize>,
    accessed: Option<usize>,
    changed: Option<usize>,
    born: Option<usize>,
}

impl Columns {
    pub(crate) fn of(page: &proto::GetTableResponse) -> Columns {
        let column = |name| table::column(page, name);
        Columns {
            download: column("Download"),
            components: column("_Components"),
            index: column("_Idx"),
            directory: column("Dir"),
            stats: column("Stats"),
            name: column("Name"),
            data: column("_Data"),
            size: column("Size"),
            mode: column("Mode"),
            modified: column("mtime"),
            accessed: column("atime"),
            changed: column("ctime"),
            born: column("btime"),
        }
    }
}

/// What the driver needs of a row besides the entry itself.
pub(crate) struct Appended<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) file_type: FileType,
}

/// Why a row did not become an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has no name, or one that no entry can have: it is passed over.
    Nameless,
    /// The listing outgrew what one snapshot can hold.
    Full,
}

/// What `_Data` says of files of an operating system.
#[derive(Default, Deserialize)]
struct Data<'a> {
    #[serde(rename = "Link", borrow, default)]
    link: Option<&'a RawValue>,
    #[serde(rename = "FSType", borrow, default)]
    file_system: Option<&'a RawValue>,
}

/// Appends the entry of `fields`, which stands in `directory`, to `rows`.
pub(crate) fn append<'a>(
    columns: &Columns,
    fields: &Fields<'a>,
    directory: &EndpointPath,
    rows: &mut Rows,
) -> Result<Appended<'a>, Refused> {
    let name = fields.get(columns.name).and_then(Field::words).ok_or(Refused::Nameless)?;
    if name == "." || name == ".." || name.contains('\0') {
        return Err(Refused::Nameless);
    }
    let mode_text = fields.get(columns.mode).and_then(Field::text).unwrap_or_default();
    let mode = mode::parse(&mode_text);
    let listed_size = fields.get(columns.size).and_then(Field::unsigned).unwrap_or(0);
    let data_text = fields.get(columns.data).and_then(Field::object).filter(|data| *data != "{}");
    let data: Data<'_> = data_text.and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    let link = data.link.and_then(|link| json_text(link.get())).filter(|link| !link.is_empty());

    let regular = mode.file_type == FileType::Regular;
    let value = match data_text {
        Some(data) if regular && is_registry(&directory.accessor) => registry::content(data, listed_size),
        _ => None,
    };
    let size = match &value {
        Some((content, _)) => content.len() as u64,
        None => listed_size,
    };
    let file_system = data.file_system.and_then(|text| json_text(text.get())).unwrap_or_default();
    let size_unknown = regular && listed_size == 0 && value.is_none() && is_virtual(&file_system, directory, &name);
    let details = details(data_text, value.as_ref().map(|(_, kind)| kind.as_str()), mode.unusual.then_some(&mode_text));
    let shown = shown(directory, &name);
    let time = |column| fields.get(column).and_then(Field::text).and_then(|text| time::parse(&text));

    let appended = rows.push(&EntryFields {
        name: &name,
        shown: shown.as_deref(),
        file_type: mode.file_type,
        mode: mode.bits,
        size,
        size_unknown,
        unfetchable: name.contains(char::REPLACEMENT_CHARACTER),
        times: Times {
            modified: time(columns.modified),
            accessed: time(columns.accessed),
            changed: time(columns.changed),
            born: time(columns.born),
        },
        link: link.as_deref().filter(|_| mode.file_type == FileType::Symlink),
        inline: value.as_ref().map(|(content, _)| content.as_slice()),
        details: details.as_deref(),
    });
    if !appended {
        return Err(Refused::Full);
    }
    Ok(Appended { file_type: mode.file_type, name })
}

fn is_registry(accessor: &str) -> bool {
    accessor == "registry" || accessor == "reg"
}

/// Files that the kernel makes up while they are read: a size of 0 says nothing of them (D7).
fn is_virtual(file_system: &str, directory: &EndpointPath, name: &str) -> bool {
    let top = directory.components.first().map_or(name, AsRef::as_ref);
    matches!(file_system, "proc" | "sysfs")
        || (!directory.components.is_empty()
            && matches!(&*directory.accessor, "auto" | "file")
            && matches!(top, "proc" | "sys"))
}

/// Volumes and shadow copies get names that people know (D21).
fn shown(directory: &EndpointPath, name: &str) -> Option<String> {
    if !directory.components.is_empty() || !matches!(&*directory.accessor, "ntfs" | "lazy_ntfs") {
        return None;
    }
    let rest = name.strip_prefix(r"\\.\").or_else(|| name.strip_prefix(r"\\?\"))?;
    if let [letter, b':'] = rest.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        return Some(rest.to_owned());
    }
    let number = rest.strip_prefix(r"GLOBALROOT\Device\HarddiskVolumeShadowCopy")?;
    (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then(|| format!("VSS{number}"))
}

/// What else the endpoint said, for provenance. A registry value that became the content is not said twice.
fn details<'a>(
    data: Option<&'a str>,
    registry_type: Option<&str>,
    mode: Option<&Cow<'_, str>>,
) -> Option<Cow<'a, str>> {
    let data = match registry_type {
        Some(kind) => Some(Cow::Owned(serde_json::json!({ "type": kind }).to_string())),
        None => data.map(Cow::Borrowed),
    };
    let Some(mode) = mode else { return data };
    let mut object: serde_json::Map<String, serde_json::Value> =
        data.and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default();
    object.insert("Mode".to_owned(), serde_json::Value::from(mode.as_ref()));
    Some(Cow::Owned(serde_json::Value::Object(object).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vfs::{EndpointId, Timestamp};

    fn page(columns: &[&str], rows: &[&str]) -> proto::GetTableResponse {
        proto::GetTableResponse {
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: rows.iter().map(|row| proto::Row { json: (*row).to_owned(), ..Default::default() }).collect(),
            ..Default::default()
        }
    }

    const COLUMNS: [&str; 6] = ["_Data", "Name", "Size", "Mode", "mtime", "btime"];

    fn directory(accessor: &str, components: &[&str]) -> EndpointPath {
        components.iter().fold(EndpointPath::accessor_root(EndpointId::root_org("C.1"), accessor), |path, name| {
            path.child(name).unwrap()
        })
    }

    fn read(accessor: &str, components: &[&str], row: &str) -> Result<Rows, Refused> {
        let page = page(&COLUMNS, &[row]);
        let mut rows = Rows::new();
        let fields = table::fields(&page.rows[0]).unwrap();
        append(&Columns::of(&page), &fields, &directory(accessor, components), &mut rows)?;
        Ok(rows)
    }

    #[test]
    fn a_row_keeps_everything_the_endpoint_said() {
        let row = r#"[{"Link":"../x","DevMajor":8},"l\u00e4nk",4,"Lrwxrwxrwx","1965-06-01T12:00:00.5Z","0001-01-01T00:00:00Z"]"#;
        let rows = read("auto", &["srv"], row).unwrap();
        let entry = rows.row(0).unwrap();
        assert_eq!(entry.name(), "länk");
        assert_eq!((entry.file_type(), entry.mode(), entry.size()), (FileType::Symlink, 0o777, 4));
        assert_eq!(entry.link(), Some("../x"));
        assert_eq!(entry.times().modified, Some(Timestamp { seconds: -144_676_800, nanos: 500_000_000 }));
        assert_eq!(entry.times().born, None);
        assert_eq!(entry.details(), Some(r#"{"Link":"../x","DevMajor":8}"#));
        assert!(!entry.unfetchable() && !entry.size_unknown());
    }

    #[test]
    fn names_that_were_no_utf8_are_seen_but_not_fetched() {
        let rows = read("auto", &[], "[null,\"a\u{fffd}b\",1,\"-rw-r--r--\"]").unwrap();
        assert!(rows.row(0).unwrap().unfetchable());
    }

    #[test]
    fn a_size_of_zero_says_nothing_below_proc_and_sys() {
        let row = r#"[{"FSType":"proc"},"cpuinfo",0,"-r--r--r--"]"#;
        assert!(read("auto", &["mnt"], row).unwrap().row(0).unwrap().size_unknown());
        let plain = r#"[null,"x",0,"-r--r--r--"]"#;
        assert!(read("auto", &["sys", "kernel"], plain).unwrap().row(0).unwrap().size_unknown());
        assert!(!read("auto", &["srv"], plain).unwrap().row(0).unwrap().size_unknown());
        assert!(!read("auto", &[], r#"[null,"proc",0,"-r--r--r--"]"#).unwrap().row(0).unwrap().size_unknown());
        assert!(!read("auto", &["proc"], r#"[null,"1",0,"dr-xr-xr-x"]"#).unwrap().row(0).unwrap().size_unknown());
    }

    #[test]
    fn registry_values_carry_their_content() {
        let row = r#"[{"type":"SZ","value":"hello"},"Version",12,"-rwxr-xr-x"]"#;
        let rows = read("registry", &["HKEY_LOCAL_MACHINE"], row).unwrap();
        let entry = rows.row(0).unwrap();
        assert_eq!((entry.inline(), entry.size()), (Some(&b"hello"[..]), 5));
        assert_eq!(entry.details(), Some(r#"{"type":"SZ"}"#));
        assert_eq!(read("auto", &["x"], row).unwrap().row(0).unwrap().inline(), None);
    }

    #[test]
    fn volumes_and_shadow_copies_are_shown_by_names_that_people_know() {
        for (name, shown) in [
            (r"\\\\.\\C:", "C:"),
            (r"\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy3", "VSS3"),
            (r"\\\\.\\PhysicalDrive0", r"\\.\PhysicalDrive0"),
        ] {
            let row = format!(r#"[null,"{name}",0,"drwxr-xr-x"]"#);
            assert_eq!(read("ntfs", &[], &row).unwrap().row(0).unwrap().shown(), shown);
        }
        let below = read("ntfs", &["x"], r#"[null,"\\\\.\\C:",0,"drwxr-xr-x"]"#).unwrap();
        assert_eq!(below.row(0).unwrap().shown(), r"\\.\C:");
    }

    #[test]
    fn an_unusual_mode_is_kept_as_text() {
        let rows = read("auto", &[], r#"[{"a":1},"x",0,"?rw-rw-rw-"]"#).unwrap();
        let entry = rows.row(0).unwrap();
        assert_eq!(entry.file_type(), FileType::Irregular);
        assert_eq!(entry.details(), Some(r#"{"Mode":"?rw-rw-rw-","a":1}"#));
    }

    #[test]
    fn rows_without_a_name_are_passed_over() {
        for row in [r#"[null,"",1,"-rw-r--r--"]"#, "[null,null,1]", "[null,7,1]", "[]", r#"[null,"..",0,"drwxr-xr-x"]"#]
        {
            assert_eq!(read("auto", &[], row).unwrap_err(), Refused::Nameless, "{row}");
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            "\\PC{0,20}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::hash_map("Link|FSType|type|value|\\PC{0,5}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_row_makes_it_fail(values in prop::collection::vec(any_json(), 0..8), registry: bool) {
            let accessor = if registry { "registry" } else { "auto" };
            let _ = read(accessor, &["x"], &serde_json::Value::from(values).to_string());
        }
    }
}
