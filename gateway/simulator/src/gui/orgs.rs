//! The silent switch: a user without rights in the organisation that he asks for gets another one in which he has some
//! (`docs/velociraptor-api.md` §10). Here that other organisation has no client.

use serde_json::{Value, json};
use tonic::Status;

use super::{Answer, plain, refusal, route};
use crate::server::refusal::not_found;
use hyper::StatusCode;

/// What a user is answered who was switched to `org`; `traits` is his own record.
pub(super) fn answer(org: &str, path: &str, traits: Result<Vec<u8>, Status>) -> Answer {
    let method = path.split('/').next().unwrap_or_default();
    let body = match method {
        "GetUserUITraits" => {
            let Ok(mut traits) = traits.map(|json| serde_json::from_slice::<Value>(&json).unwrap_or_default()) else {
                return plain(StatusCode::INTERNAL_SERVER_ERROR, "Error");
            };
            traits["interface_traits"]["org"] = json!(org);
            traits["orgs"] = json!([{ "name": org, "id": org }]);
            traits
        }
        "SearchClients" | "GetClient" | "VFSStatDirectory" => json!({}),
        "GetTable" | "VFSListDirectoryFiles" => json!({ "total_rows": "-1" }),
        _ => return refusal(&not_found()),
    };
    route::answer(body.to_string().into_bytes())
}
