//! Endpoints: who they are (organisation and client id) and what is known of them.

use std::fmt;
use std::sync::Arc;

use crate::timestamp::Timestamp;

/// An endpoint's identity: the organisation on the server and the client id in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct EndpointId {
    /// Organisation; `root` for the server's root organisation.
    pub org: Arc<str>,
    /// Client id, `C.` and hex digits, in other organisations with the suffix `-ORGID`.
    pub client_id: Arc<str>,
}

impl EndpointId {
    /// An endpoint of the root organisation.
    pub fn root_org(client_id: impl Into<Arc<str>>) -> EndpointId {
        EndpointId { org: "root".into(), client_id: client_id.into() }
    }

    /// The endpoint of a client id, which names its organisation unless that is the root.
    pub fn of_client_id(client_id: impl Into<Arc<str>>) -> EndpointId {
        let client_id = client_id.into();
        let org = client_id.rsplit_once('-').map_or("root", |(_, org)| org);
        EndpointId { org: org.into(), client_id }
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.client_id)
    }
}

/// The operating system of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Windows: drives, raw NTFS, the registry; names ignore case.
    Windows,
    /// Linux.
    Linux,
    /// macOS.
    Darwin,
    /// Not known (yet).
    Unknown,
}

impl System {
    /// Whether the endpoint's file system ignores case in names.
    pub fn ignores_case(self) -> bool {
        matches!(self, System::Windows)
    }
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// Identity.
    pub id: EndpointId,
    /// Host name; neither unique nor constant.
    pub hostname: String,
    /// Operating system.
    pub system: System,
    /// Version of the agent, as it reports it.
    pub agent_version: String,
    /// Labels on the server.
    pub labels: Vec<String>,
    /// When the server last heard of it.
    pub last_seen: Option<Timestamp>,
    /// When it enrolled.
    pub first_seen: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_names_its_organisation() {
        assert_eq!(EndpointId::of_client_id("C.0123456789abcdef"), EndpointId::root_org("C.0123456789abcdef"));
        let other = EndpointId::of_client_id("C.0123456789abcdef-OTEST1");
        assert_eq!((&*other.org, other.to_string().as_str()), ("OTEST1", "C.0123456789abcdef-OTEST1"));
    }
}
