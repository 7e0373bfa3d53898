//! The artifact repository: the two stock VFS artifacts, a few others that collections name, and installed ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::Error;

pub(crate) const LIST_DIRECTORY: &str = "System.VFS.ListDirectory";
pub(crate) const DOWNLOAD_FILE: &str = "System.VFS.DownloadFile";
pub(crate) const READ_RANGES: &str = "Custom.Raptorgate.ReadRanges";
pub(crate) const LIST_MANY: &str = "Custom.Raptorgate.ListMany";
pub(crate) const TRIAGE: &str = "Windows.KapeFiles.Targets";
pub(crate) const FETCH_MANY: &str = "Custom.Raptorgate.FetchMany";

/// Built in, and known to this simulator's endpoints.
const STOCK: [(&str, &str); 4] = [
    (LIST_DIRECTORY, "List one directory for the VFS viewer."),
    (DOWNLOAD_FILE, "Upload one file for the VFS viewer."),
    (TRIAGE, "Collect the files of a triage."),
    ("Generic.Client.Info", "Basic information about the client."),
];

/// One artifact of the repository.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) kind: String,
    pub(crate) raw: String,
    pub(crate) built_in: bool,
    /// Whoever has COLLECT_BASIC may start it.
    pub(crate) basic: bool,
}

/// All artifacts, kept in `artifacts.json`.
#[derive(Debug)]
pub(crate) struct Artifacts {
    path: PathBuf,
    known: BTreeMap<String, Definition>,
}

#[derive(Deserialize)]
struct Header {
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl Artifacts {
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("artifacts.json");
        let mut known: BTreeMap<String, Definition> = disk::read_json(&path)?.unwrap_or_default();
        for (name, description) in STOCK {
            known.entry(name.to_string()).or_insert_with(|| Definition {
                name: name.to_string(),
                description: description.to_string(),
                kind: "CLIENT".to_string(),
                raw: String::new(),
                built_in: true,
                basic: false,
            });
        }
        Ok(Self { path, known })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Definition> {
        self.known.get(name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Definition> {
        self.known.values()
    }

    /// Reads a definition's YAML.
    pub(crate) fn parse(yaml: &str) -> Result<Definition, String> {
        let header: Header = serde_yaml::from_str(yaml).map_err(|error| format!("While parsing artifact: {error}"))?;
        let name = header.name.filter(|name| !name.is_empty()).ok_or("No artifact name")?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
        if !name.bytes().all(good) {
            return Err(format!("Invalid artifact name '{name}'"));
        }
        let kind = if header.kind.is_empty() { "CLIENT".to_string() } else { header.kind.to_uppercase() };
        Ok(Definition { name, description: header.description, kind, raw: yaml.to_string(), ..Definition::default() })
    }

    /// Installs a definition, as `SetArtifactFile` does; it is usable at once.
    pub(crate) fn install(&mut self, definition: Definition) -> Result<(), Error> {
        self.known.insert(definition.name.clone(), definition);
        self.save()
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<bool, Error> {
        if self.known.get(name).is_none_or(|definition| definition.built_in) {
            return Ok(false);
        }
        self.known.remove(name);
        self.save()?;
        Ok(true)
    }

    /// `artifact_set_metadata(name=…, basic=…)`.
    pub(crate) fn set_basic(&mut self, name: &str, basic: bool) -> Result<bool, Error> {
        let Some(definition) = self.known.get_mut(name) else {
            return Ok(false);
        };
        definition.basic = basic;
        self.save()?;
        Ok(true)
    }

    fn save(&self) -> Result<(), Error> {
        disk::write_json(&self.path, &self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_artifacts_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut artifacts = Artifacts::open(folder.path()).unwrap();
        let yaml =
            "name: Custom.Raptorgate.ListMany\ntype: CLIENT\nsources:\n  - query: |\n      SELECT 1 FROM scope()\n";
        artifacts.install(Artifacts::parse(yaml).unwrap()).unwrap();
        artifacts.set_basic(LIST_MANY, true).unwrap();
        let again = Artifacts::open(folder.path()).unwrap();
        assert!(again.get(LIST_MANY).is_some_and(|definition| definition.basic && !definition.built_in));
    }

    #[test]
    fn text_that_is_no_artifact_is_refused() {
        for bad in ["", "name: [", "description: x", "name: 'a b'"] {
            assert!(Artifacts::parse(bad).is_err(), "{bad:?}");
        }
    }
}
