//! API users and their permissions, as the server's ACLs know them (`docs/velociraptor-api.md` §1.6, §1.7).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use velociraptor_proto::proto::ApiClientAcl;

use crate::disk;
use crate::error::Error;

/// What an API user may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// Read listings, flows, uploads.
    pub read_results: bool,
    /// Start flows of any artifact.
    pub collect_client: bool,
    /// Start flows of artifacts that are marked basic.
    pub collect_basic: bool,
    /// `Query` and `WatchEvent`.
    pub any_query: bool,
    /// Label clients.
    pub label_clients: bool,
    /// Install artifacts.
    pub artifact_writer: bool,
    /// Read the server's own files by VQL.
    pub filesystem_read: bool,
    /// Administer the server.
    pub server_admin: bool,
}

impl Permissions {
    /// No permission at all: a user record without a role.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Role `reader`.
    #[must_use]
    pub fn reader() -> Self {
        Self { read_results: true, ..Self::default() }
    }

    /// Roles `investigator,api`: what a gateway is given.
    #[must_use]
    pub fn investigator() -> Self {
        Self { read_results: true, collect_client: true, any_query: true, label_clients: true, ..Self::default() }
    }

    /// Only `read_results` and `collect_basic`: the least that can collect.
    #[must_use]
    pub fn basic() -> Self {
        Self { read_results: true, collect_basic: true, ..Self::default() }
    }

    /// Role `administrator`.
    #[must_use]
    pub fn administrator() -> Self {
        Self {
            collect_basic: true,
            artifact_writer: true,
            filesystem_read: true,
            server_admin: true,
            ..Self::investigator()
        }
    }

    pub(crate) fn wire(self) -> ApiClientAcl {
        ApiClientAcl {
            read_results: self.read_results,
            collect_client: self.collect_client,
            collect_basic: self.collect_basic,
            any_query: self.any_query,
            label_clients: self.label_clients,
            artifact_writer: self.artifact_writer,
            filesystem_read: self.filesystem_read,
            server_admin: self.server_admin,
            notebook_editor: self.collect_client,
            prepare_results: self.collect_client,
            start_hunt: self.collect_client,
            ..ApiClientAcl::default()
        }
    }
}

/// The user records, kept in `users.json`.
#[derive(Debug)]
pub(crate) struct Users {
    path: PathBuf,
    records: BTreeMap<String, Permissions>,
}

impl Users {
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("users.json");
        let records = disk::read_json(&path)?.unwrap_or_default();
        Ok(Self { path, records })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Permissions> {
        self.records.get(name).copied()
    }

    pub(crate) fn set(&mut self, name: &str, permissions: Permissions) -> Result<(), Error> {
        self.records.insert(name.to_string(), permissions);
        disk::write_json(&self.path, &self.records)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.records.remove(name);
        disk::write_json(&self.path, &self.records)
    }
}
