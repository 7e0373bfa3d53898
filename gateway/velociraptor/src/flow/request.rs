//! Works become collection requests: always `CollectArtifact`, always urgent, never with `Path` (D31; docs/velociraptor-api.md §4.8).
//!
//! Without `Path` a failed listing cannot overwrite the server's last good record of the directory.

use std::sync::Arc;

use velociraptor_proto::proto;
use vfs::backend::{Delivery, Limits, Work};
use vfs::path::check_component;
use vfs::{EndpointId, EndpointPath, Error, Result};

use super::task::{GATEWAY_REASON, GATEWAY_USER, Kind, Task};
use crate::artifacts;

/// The reason's text is cut to this many characters: it travels to the endpoint and back with every flow.
const MAX_REASON: usize = 1_000;

/// The tasks of a delivery: for every work those that do it. Many files take one task if the server has `FetchMany`, else one each.
///
/// # Errors
/// `Invalid` for what must never reach an endpoint.
pub(crate) fn tasks(endpoint: &EndpointId, delivery: &Delivery, fetch_many: bool) -> Result<Vec<Vec<Task>>> {
    let by: Arc<str> = Arc::from(delivery.principal.name());
    let task = |kind| Task { kind, by: by.clone() };
    let tasks_of = |work: &Work| {
        Ok(match work {
            Work::List { directory, depth } => {
                vec![task(Kind::List { directory: checked(endpoint, directory)?, depth: *depth })]
            }
            Work::ListMany { directories } => {
                vec![task(Kind::ListMany { directories: all_checked(endpoint, directories)? })]
            }
            Work::Fetch { files } => {
                let files = all_checked(endpoint, files)?;
                if files.len() > 1 && fetch_many {
                    vec![task(Kind::FetchMany { files })]
                } else {
                    files.into_iter().map(|file| task(Kind::Fetch { file })).collect()
                }
            }
            Work::Ranges { file, ranges } => {
                if ranges.is_empty() || ranges.iter().any(|(_, length)| *length == 0) {
                    return Err(Error::invalid("a collection of ranges needs ranges that are not empty"));
                }
                vec![task(Kind::Ranges { file: checked(endpoint, file)?, ranges: ranges.clone() })]
            }
        })
    };
    delivery.works.iter().map(tasks_of).collect()
}

/// `..` works on the endpoint, and the server does not stop it (§4.1).
fn checked(endpoint: &EndpointId, path: &EndpointPath) -> Result<EndpointPath> {
    if path.endpoint != *endpoint {
        return Err(Error::invalid("a delivery goes to one endpoint"));
    }
    if path.accessor.is_empty() || !path.accessor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(Error::invalid("the accessor has an impossible name"));
    }
    for (index, component) in path.components.iter().enumerate() {
        check_component(component, index == 0)?;
    }
    Ok(path.clone())
}

fn all_checked(endpoint: &EndpointId, paths: &[EndpointPath]) -> Result<Vec<EndpointPath>> {
    let first = paths.first().ok_or_else(|| Error::invalid("there is nothing to collect"))?;
    if paths.iter().any(|path| path.accessor != first.accessor) {
        return Err(Error::invalid("one collection goes through one accessor"));
    }
    paths.iter().map(|path| checked(endpoint, path)).collect()
}

/// The request that starts `task`.
pub(crate) fn request(
    endpoint: &EndpointId,
    task: &Task,
    limits: &Limits,
    reason: &str,
) -> proto::ArtifactCollectorArgs {
    let (artifact, mut env) = parameters(&task.kind);
    env.push(variable(GATEWAY_USER, task.by.to_string()));
    env.push(variable(GATEWAY_REASON, reason.chars().take(MAX_REASON).collect()));
    proto::ArtifactCollectorArgs {
        client_id: endpoint.client_id.to_string(),
        artifacts: vec![artifact.to_owned()],
        specs: vec![proto::ArtifactSpec {
            artifact: artifact.to_owned(),
            parameters: Some(proto::ArtifactParameters { env }),
            ..Default::default()
        }],
        urgent: true,
        timeout: limits.timeout.as_secs(),
        max_rows: limits.max_rows,
        max_upload_bytes: limits.max_upload_bytes,
        cpu_limit: f32::from(limits.cpu_percent),
        ..Default::default()
    }
}

fn parameters(kind: &Kind) -> (&'static str, Vec<proto::VqlEnv>) {
    match kind {
        Kind::List { directory, depth } => (
            artifacts::LIST_DIRECTORY,
            vec![
                variable("Components", components(directory)),
                variable("Accessor", directory.accessor.to_string()),
                variable("Depth", depth.to_string()),
            ],
        ),
        Kind::ListMany { directories } => (
            artifacts::LIST_MANY.name,
            vec![
                variable("Accessor", accessor(directories)),
                variable("Dirs", list(directories, "Dir")),
                variable("Depth", "0".to_owned()),
            ],
        ),
        Kind::Fetch { file } => (
            artifacts::DOWNLOAD_FILE,
            vec![variable("Components", components(file)), variable("Accessor", file.accessor.to_string())],
        ),
        Kind::FetchMany { files } => (
            artifacts::FETCH_MANY.name,
            vec![variable("Accessor", accessor(files)), variable("Files", list(files, "File"))],
        ),
        Kind::Ranges { file, ranges } => {
            let ranges: Vec<_> = ranges
                .iter()
                .map(|(offset, length)| serde_json::json!({ "Offset": offset, "Length": length }))
                .collect();
            (
                artifacts::READ_RANGES.name,
                vec![
                    variable("Components", components(file)),
                    variable("Accessor", file.accessor.to_string()),
                    variable("Ranges", serde_json::Value::from(ranges).to_string()),
                    // Another edition of the artifact knows more ways; this one shows short reads (§8.1).
                    variable("Transport", "scope".to_owned()),
                ],
            )
        }
        Kind::Other => ("", Vec::new()),
    }
}

fn variable(key: &str, value: String) -> proto::VqlEnv {
    proto::VqlEnv { key: key.to_owned(), value, ..Default::default() }
}

fn accessor(paths: &[EndpointPath]) -> String {
    paths.first().map(|path| path.accessor.to_string()).unwrap_or_default()
}

fn components(path: &EndpointPath) -> String {
    values(path).to_string()
}

fn list(paths: &[EndpointPath], key: &str) -> String {
    let items: Vec<_> = paths
        .iter()
        .map(|path| serde_json::Value::Object(serde_json::Map::from_iter([(key.to_owned(), values(path))])))
        .collect();
    serde_json::Value::from(items).to_string()
}

fn values(path: &EndpointPath) -> serde_json::Value {
    path.components.iter().map(|component| serde_json::Value::from(component.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use vfs::{ErrorKind, Principal, Reason};

    fn endpoint() -> EndpointId {
        EndpointId::root_org("C.1")
    }

    fn path(components: &[&str]) -> EndpointPath {
        EndpointPath {
            endpoint: endpoint(),
            accessor: "auto".into(),
            components: components.iter().map(|name| Arc::from(*name)).collect(),
        }
    }

    fn delivery(works: Vec<Work>) -> Delivery {
        Delivery { works, principal: Principal::new("alice"), reason: Reason("READDIR /x".into()), limits: LIMITS }
    }

    const LIMITS: Limits =
        Limits { timeout: Duration::from_secs(60), max_rows: 7, max_upload_bytes: 8, cpu_percent: 50 };

    fn all_works() -> Vec<Work> {
        vec![
            Work::List { directory: path(&["a\"b", "c/d"]), depth: 2 },
            Work::ListMany { directories: vec![path(&["a"]), path(&["b", "ü\n"])] },
            Work::Fetch { files: vec![path(&["f"])] },
            Work::Fetch { files: vec![path(&["f"]), path(&["g"])] },
            Work::Ranges { file: path(&["f"]), ranges: vec![(1 << 40, 4096), (0, 1)] },
        ]
    }

    #[test]
    fn the_servers_copy_of_a_request_says_what_was_asked() {
        for task in tasks(&endpoint(), &delivery(all_works()), true).unwrap().concat() {
            let mut request = request(&endpoint(), &task, &LIMITS, "why");
            request.creator = "gateway".into();
            assert_eq!(Task::of(&endpoint(), &request, "gateway"), task);
            let by_another = Task::of(&endpoint(), &request, "somebody");
            assert_eq!(&*by_another.by, "gateway", "only our own flows can name a principal");
        }
    }

    #[test]
    fn requests_are_urgent_limited_and_without_a_path() {
        for task in tasks(&endpoint(), &delivery(all_works()), true).unwrap().concat() {
            let request = request(&endpoint(), &task, &LIMITS, &"why ".repeat(1000));
            assert!(request.urgent);
            assert_eq!(
                (request.timeout, request.max_rows, request.max_upload_bytes, request.cpu_limit),
                (60, 7, 8, 50.0)
            );
            assert!(request.flow_id.is_empty(), "appending to a flow spoils its record");
            let env = &request.specs[0].parameters.as_ref().unwrap().env;
            assert!(env.iter().all(|variable| variable.key != "Path"));
            let reason = env.iter().find(|variable| variable.key == GATEWAY_REASON).unwrap();
            assert_eq!(reason.value.len(), MAX_REASON);
        }
    }

    #[test]
    fn what_leaves_the_endpoint_is_refused_here_too() {
        let bad = [&[".."][..], &["a", ".", "b"], &[""], &[r"\\host", "share"], &["a\0"]];
        for components in bad {
            let works = vec![Work::List { directory: path(components), depth: 0 }];
            assert_eq!(
                tasks(&endpoint(), &delivery(works), true).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{components:?}"
            );
        }
        let mut other = path(&["a"]);
        other.endpoint = EndpointId::root_org("C.2");
        let works = vec![Work::Fetch { files: vec![other] }];
        assert_eq!(tasks(&endpoint(), &delivery(works), true).unwrap_err().kind(), ErrorKind::Invalid);
        let empty = vec![Work::Fetch { files: vec![] }];
        assert_eq!(tasks(&endpoint(), &delivery(empty), true).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_flow_of_somebody_else_is_no_task_of_ours() {
        let request = proto::ArtifactCollectorArgs { creator: "bob".into(), ..Default::default() };
        assert_eq!(Task::of(&endpoint(), &request, "gateway"), Task { kind: Kind::Other, by: "bob".into() });
    }

    proptest! {
        #[test]
        fn no_request_of_somebody_else_makes_it_fail(
            artifact in 0usize..5,
            env in prop::collection::vec(("Components|Accessor|Depth|Dirs|Files|Ranges", "\\PC{0,30}|\\[\\{\"Dir\":[0-9]?\\}\\]"), 0..8),
        ) {
            let ours = artifacts::ALL.map(|artifact| artifact.name);
            let names = [&[artifacts::LIST_DIRECTORY, artifacts::DOWNLOAD_FILE][..], &ours].concat();
            let env = env.into_iter().map(|(key, value)| variable(&key, value)).collect();
            let spec = proto::ArtifactSpec {
                artifact: names[artifact].to_owned(),
                parameters: Some(proto::ArtifactParameters { env }),
                ..Default::default()
            };
            let request = proto::ArtifactCollectorArgs { specs: vec![spec], ..Default::default() };
            Task::of(&endpoint(), &request, "gateway");
        }
    }
}
