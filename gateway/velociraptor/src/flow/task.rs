//! What a flow was asked to do: remembered when we start it, read back from the server's copy of the request when we did not.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use velociraptor_proto::proto;
use vfs::{EndpointId, EndpointPath};

use crate::artifacts;

/// A flow's task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// What it does.
    pub(crate) kind: Kind,
    /// For whom: our principal, or the server's creator.
    pub(crate) by: Arc<str>,
}

/// What a flow does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lists a directory and some levels below it.
    List { directory: EndpointPath, depth: u32 },
    /// Lists many directories.
    ListMany { directories: Vec<EndpointPath> },
    /// Collects one file.
    Fetch { file: EndpointPath },
    /// Collects many files.
    FetchMany { files: Vec<EndpointPath> },
    /// Collects ranges of one file.
    Ranges { file: EndpointPath, ranges: Vec<(u64, u64)> },
    /// Something that this driver did not start and cannot read.
    Other,
}

/// Environment key that names our principal (§12).
pub(crate) const GATEWAY_USER: &str = "GatewayUser";
/// Environment key that says why.
pub(crate) const GATEWAY_REASON: &str = "GatewayReason";

#[derive(Deserialize)]
struct OneDirectory {
    #[serde(rename = "Dir")]
    components: Vec<String>,
}

#[derive(Deserialize)]
struct OneFile {
    #[serde(rename = "File")]
    components: Vec<String>,
}

#[derive(Deserialize)]
struct OneRange {
    #[serde(rename = "Offset")]
    offset: u64,
    #[serde(rename = "Length")]
    length: u64,
}

impl Task {
    /// Reads the server's copy of a request. `ours` is the name of our own user: only its flows can name a principal.
    pub(crate) fn of(endpoint: &EndpointId, request: &proto::ArtifactCollectorArgs, ours: &str) -> Task {
        let spec = request.specs.first();
        let environment: HashMap<&str, &str> = spec
            .and_then(|spec| spec.parameters.as_ref())
            .map(|parameters| parameters.env.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect())
            .unwrap_or_default();
        let principal = environment.get(GATEWAY_USER).filter(|_| request.creator == ours);
        let by = principal.copied().unwrap_or(&request.creator);
        let artifact = spec.map_or("", |spec| spec.artifact.as_str());
        let kind = kind(endpoint, artifact, &environment).unwrap_or(Kind::Other);
        Task { kind, by: Arc::from(by) }
    }

    /// The files whose content the flow collects.
    pub(crate) fn single_file(&self) -> Option<&EndpointPath> {
        match &self.kind {
            Kind::Fetch { file } => Some(file),
            _ => None,
        }
    }
}

fn kind(endpoint: &EndpointId, artifact: &str, environment: &HashMap<&str, &str>) -> Option<Kind> {
    let accessor: Arc<str> = Arc::from(*environment.get("Accessor")?);
    let path = |components: Vec<String>| EndpointPath {
        endpoint: endpoint.clone(),
        accessor: accessor.clone(),
        components: components.into_iter().map(Arc::from).collect(),
    };
    let components = || serde_json::from_str::<Vec<String>>(environment.get("Components").copied()?).ok();
    if artifact == artifacts::LIST_DIRECTORY {
        let depth = environment.get("Depth").and_then(|depth| depth.parse().ok()).unwrap_or(0);
        return Some(Kind::List { directory: path(components()?), depth });
    }
    if artifact == artifacts::DOWNLOAD_FILE {
        return Some(Kind::Fetch { file: path(components()?) });
    }
    if artifact == artifacts::LIST_MANY.name {
        let listed: Vec<OneDirectory> = serde_json::from_str(environment.get("Dirs")?).ok()?;
        return Some(Kind::ListMany { directories: listed.into_iter().map(|one| path(one.components)).collect() });
    }
    if artifact == artifacts::FETCH_MANY.name {
        let files: Vec<OneFile> = serde_json::from_str(environment.get("Files")?).ok()?;
        return Some(Kind::FetchMany { files: files.into_iter().map(|one| path(one.components)).collect() });
    }
    if artifact == artifacts::READ_RANGES.name {
        let ranges: Vec<OneRange> = serde_json::from_str(environment.get("Ranges")?).ok()?;
        let ranges = ranges.into_iter().map(|range| (range.offset, range.length)).collect();
        return Some(Kind::Ranges { file: path(components()?), ranges });
    }
    None
}
