//! Which path is which call. `Query`, `VFSGetBuffer`, `WatchEvent` and `Check` have none.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use prost::Message;
use tonic::{Request, Response, Status};
use velociraptor_proto::proto::api_server::Api;

use super::Answer;
use super::json::{Mapping, parameters, unescape};
use crate::server::refusal;
use crate::service::Service;
use crate::service::listener::Peer;

/// What a request says.
pub(super) enum Input<'a> {
    /// By GET.
    Query(&'a str),
    /// By POST.
    Body(&'a [u8]),
}

/// Makes one call as the user; the answer's JSON.
pub(super) async fn call(
    service: &Service,
    mapping: &Mapping,
    user: &str,
    path: &str,
    input: Input<'_>,
) -> Result<Vec<u8>, Status> {
    /// Reads the request from `$read`, calls, writes the answer.
    macro_rules! make {
        ($method:ident, $answer:literal, $read:expr) => {{
            let mut request = Request::new($read?);
            request.extensions_mut().insert(Peer { name: user.to_string() });
            write(mapping, $answer, Api::$method(service, request).await?)
        }};
    }
    match input {
        Input::Query(query) => {
            let mut parameters = parameters(query)?;
            let (method, tail) = path.split_once('/').unwrap_or((path, ""));
            if !tail.is_empty() {
                let tail = unescape(tail).ok_or_else(|| Status::invalid_argument("invalid URL escape"))?;
                parameters.push(("client_id".to_string(), tail));
            }
            match method {
                "VFSListDirectory" => {
                    make!(vfs_list_directory, "VFSListResponse", mapping.of_query("VFSListRequest", &parameters))
                }
                "VFSListDirectoryFiles" => {
                    make!(
                        vfs_list_directory_files,
                        "GetTableResponse",
                        mapping.of_query("GetTableRequest", &parameters)
                    )
                }
                "VFSStatDirectory" => {
                    make!(vfs_stat_directory, "VFSListResponse", mapping.of_query("VFSListRequest", &parameters))
                }
                "GetTable" => make!(get_table, "GetTableResponse", mapping.of_query("GetTableRequest", &parameters)),
                "GetFlowDetails" => {
                    make!(get_flow_details, "FlowDetails", mapping.of_query("ApiFlowRequest", &parameters))
                }
                "GetClientFlows" => {
                    make!(get_client_flows, "GetTableResponse", mapping.of_query("GetTableRequest", &parameters))
                }
                "SearchClients" => {
                    make!(list_clients, "SearchClientsResponse", mapping.of_query("SearchClientsRequest", &parameters))
                }
                "GetClient" => make!(get_client, "ApiClient", mapping.of_query("GetClientRequest", &parameters)),
                "GetUserUITraits" => make!(get_user_ui_traits, "ApiUser", Ok::<_, Status>(())),
                _ => Err(refusal::not_found()),
            }
        }
        Input::Body(body) => match path {
            "VFSRefreshDirectory" => make!(
                vfs_refresh_directory,
                "ArtifactCollectorResponse",
                mapping.of_body("VFSRefreshDirectoryRequest", body)
            ),
            "CollectArtifact" => {
                make!(collect_artifact, "ArtifactCollectorResponse", mapping.of_body("ArtifactCollectorArgs", body))
            }
            "CancelFlow" => make!(cancel_flow, "StartFlowResponse", mapping.of_body("ApiFlowRequest", body)),
            "LabelClients" => make!(label_clients, "APIResponse", mapping.of_body("LabelClientsRequest", body)),
            "GetArtifacts" => make!(get_artifacts, "ArtifactDescriptors", mapping.of_body("GetArtifactsRequest", body)),
            "SetArtifactFile" => {
                make!(set_artifact_file, "SetArtifactResponse", mapping.of_body("SetArtifactRequest", body))
            }
            _ => Err(refusal::not_found()),
        },
    }
}

fn write<T: Message>(mapping: &Mapping, name: &str, answer: Response<T>) -> Result<Vec<u8>, Status> {
    mapping.body(name, answer.get_ref())
}

/// JSON as an answer.
pub(super) fn answer(body: Vec<u8>) -> Answer {
    let mut answer = hyper::Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
