//! The gateway's own directories: `/`, `/by-name`, `/org`, and what an endpoint has: its accessors and `collected`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::EndpointEntry;
use crate::attributes::FileType;
use crate::endpoint::System;
use crate::snapshot::{EntryFields, Rows, Times};
use crate::timestamp::Timestamp;

/// The directory of aliases by host name.
pub(crate) const BY_NAME: &str = "by-name";
/// The directory of the organisations.
pub(crate) const ORG: &str = "org";
/// The tree where nothing is refreshed (D11): reachable in `/` by name, and not listed, so that nobody walks through everything twice.
pub(crate) const FROZEN_ROOT: &str = "frozen";
/// The directory of what jobs on an endpoint uploaded (D9).
pub(crate) const COLLECTED: &str = "collected";
/// Accessors that can be reached by name without being listed (D2).
pub(crate) const REACHABLE_ACCESSORS: [&str; 2] = ["file", "lazy_ntfs"];

/// The entries of `/`. Where there is only the root organisation none is named.
pub(crate) fn root_rows(endpoints: &[Arc<EndpointEntry>]) -> Rows {
    let mut rows = Rows::new();
    add(&mut rows, BY_NAME, FileType::Directory, None, None);
    if endpoints.iter().any(|entry| &*entry.endpoint().id.org != "root") {
        add(&mut rows, ORG, FileType::Directory, None, None);
    }
    for entry in endpoints {
        let endpoint = entry.endpoint();
        add(&mut rows, &endpoint.id.client_id, FileType::Directory, None, endpoint.first_seen);
    }
    rows
}

/// The entries of `/by-name`: a link for each host name. Host names are not unique: those that several endpoints have carry
/// the client id.
pub(crate) fn by_name_rows(endpoints: &[Arc<EndpointEntry>]) -> Rows {
    let mut count: HashMap<String, usize> = HashMap::new();
    for entry in endpoints {
        *count.entry(entry.endpoint().hostname.clone()).or_default() += 1;
    }
    let mut rows = Rows::new();
    for entry in endpoints {
        let endpoint = entry.endpoint();
        if endpoint.hostname.is_empty() || endpoint.hostname == "." || endpoint.hostname == ".." {
            continue;
        }
        let client = &endpoint.id.client_id;
        let name = match count.get(&endpoint.hostname) {
            Some(1) => endpoint.hostname.clone(),
            _ => format!("{} ({client})", endpoint.hostname),
        };
        add(&mut rows, &name, FileType::Symlink, Some(&format!("../{client}")), endpoint.first_seen);
    }
    rows
}

/// The organisations by their ids, each with its endpoints.
pub(crate) fn orgs(endpoints: &[Arc<EndpointEntry>]) -> BTreeMap<Arc<str>, Vec<Arc<EndpointEntry>>> {
    let mut orgs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in endpoints {
        orgs.entry(entry.endpoint().id.org.clone()).or_default().push(entry.clone());
    }
    orgs
}

/// The entries of `/org`.
pub(crate) fn orgs_rows(orgs: &BTreeMap<Arc<str>, Vec<Arc<EndpointEntry>>>) -> Rows {
    let mut rows = Rows::new();
    for (org, endpoints) in orgs {
        let since = endpoints.iter().filter_map(|entry| entry.endpoint().first_seen).min();
        add(&mut rows, org, FileType::Directory, None, since);
    }
    rows
}

/// The entries of `/org/ID`: a link for each endpoint.
pub(crate) fn org_rows(endpoints: &[Arc<EndpointEntry>]) -> Rows {
    let mut rows = Rows::new();
    for entry in endpoints {
        let endpoint = entry.endpoint();
        let client = &endpoint.id.client_id;
        add(&mut rows, client, FileType::Symlink, Some(&format!("../../{client}")), endpoint.first_seen);
    }
    rows
}

/// The entries of `/C.xxxx`. An accessor that the system cannot have is not shown.
pub(crate) fn accessor_rows(system: System, further: &[String], since: Option<Timestamp>) -> Rows {
    let mut rows = Rows::new();
    add(&mut rows, "auto", FileType::Directory, None, since);
    if system == System::Windows {
        add(&mut rows, "ntfs", FileType::Directory, None, since);
        add(&mut rows, "registry", FileType::Directory, None, since);
    }
    for accessor in further {
        add(&mut rows, accessor, FileType::Directory, None, since);
    }
    add(&mut rows, COLLECTED, FileType::Directory, None, since);
    rows
}

fn add(rows: &mut Rows, name: &str, file_type: FileType, link: Option<&str>, since: Option<Timestamp>) {
    let _fits = rows.push(&EntryFields {
        name,
        shown: None,
        file_type,
        mode: 0o555,
        size: link.map_or(0, |link| link.len() as u64),
        size_unknown: false,
        unfetchable: false,
        times: Times { modified: since, accessed: since, changed: since, born: since },
        link,
        inline: None,
        details: None,
    });
}
