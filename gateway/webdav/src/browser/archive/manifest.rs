//! What stands in `manifest.jsonl`: one line for each entry that is known, in the archive or not.

use std::fmt::Write;

use serde_json::{Value, json};
use vfs::{Attributes, FileType, Listing, Standing, Timestamp};

/// Bytes of one part; a manifest of a whole disk must not be held in memory in one piece that grows without end.
const PART: usize = 64 << 20;

/// The manifest, as it grows.
pub(super) struct Manifest {
    parts: Vec<String>,
    sent: usize,
    current: String,
}

impl Manifest {
    /// Of the directory `source`, made at `now`.
    pub(super) fn new(source: &str, now: Timestamp) -> Manifest {
        let mut manifest = Manifest { parts: Vec::new(), sent: 0, current: String::new() };
        manifest.line(&json!({
            "manifest": "raptorgate", "version": 1, "source": source, "made": now,
            "note": "times, sizes and modes as the endpoint listed them; what has `missing` is not in this archive",
        }));
        manifest
    }

    /// A directory.
    pub(super) fn directory(&mut self, path: &str, missing: Option<&str>) {
        let mut line = json!({ "path": path, "type": FileType::Directory });
        if let (Some(why), Some(object)) = (missing, line.as_object_mut()) {
            object.insert("missing".to_owned(), json!(why));
        }
        self.line(&line);
    }

    /// Anything else. `size`: of its content in the archive.
    pub(super) fn entry(
        &mut self,
        path: &str,
        listing: &Listing,
        ordinal: u32,
        attributes: &Attributes,
        standing: &Standing,
        size: Option<u64>,
    ) {
        let Some(row) = listing.row(ordinal) else { return };
        let time = |time: Option<Timestamp>| time.map_or(json!("not known"), |time| json!(time));
        let mut line = json!({
            "path": path,
            "name": row.name(),
            "type": row.file_type(),
            "mode": format!("{:04o}", row.mode()),
            "size_listed": row.size(),
            "modified": time(attributes.modified),
            "accessed": time(attributes.accessed),
            "changed": time(attributes.changed),
            "born": time(attributes.born),
        });
        let Some(object) = line.as_object_mut() else { return };
        let mut add = |key: &str, value: Value| {
            object.insert(key.to_owned(), value);
        };
        if let Some(link) = row.link() {
            add("link", json!(link));
        }
        if let Some(size) = size {
            add("size", json!(size));
        }
        if !is_safe_on_windows(row.name()) {
            add("unsafe_on_windows", json!(true));
        }
        match standing {
            Standing::Collected { job, seen, sha256_endpoint, sha256_gateway, changed_since } => {
                add("flow", json!(job));
                add("collected", json!(seen));
                add("sha256_endpoint", json!(sha256_endpoint));
                add("sha256_gateway", json!(sha256_gateway));
                if *changed_since {
                    add("endpoint_has_changed_since", json!(true));
                }
            }
            Standing::Here => {}
            Standing::NoContent => add("missing", json!("not a regular file: it has no content")),
            Standing::Uncollected => add("missing", json!("not collected")),
            Standing::InRanges { bytes } => add("missing", json!(format!("only {bytes} bytes of it were collected"))),
            Standing::UnderWay { .. } => add("missing", json!("its collection is under way")),
            Standing::Refused { message } => add("missing", json!(message)),
            Standing::Unfetchable => add("missing", json!("its name was no valid UTF-8: it cannot be asked for")),
        }
        self.line(&line);
    }

    fn line(&mut self, line: &Value) {
        let _ = writeln!(self.current, "{line}");
        if self.current.len() >= PART {
            self.parts.push(std::mem::take(&mut self.current));
        }
    }

    /// The next file of the manifest: its name and what is in it.
    pub(super) fn next_part(&mut self) -> Option<(String, String)> {
        if !self.current.is_empty() {
            self.parts.push(std::mem::take(&mut self.current));
        }
        let part = std::mem::take(self.parts.get_mut(self.sent)?);
        self.sent += 1;
        let name = if self.sent == 1 { "manifest.jsonl".to_owned() } else { format!("manifest-{}.jsonl", self.sent) };
        Some((name, part))
    }
}

/// Whether Windows could make a file of this name.
fn is_safe_on_windows(name: &str) -> bool {
    vfs::Profile::Windows.spell(name) == name
}
