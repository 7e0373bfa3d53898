//! `ListClients`, `GetClient`, labels and notifications (§9).

use tonic::Status;
use velociraptor_proto::proto::search_clients_request::Filters;
use velociraptor_proto::proto::{
    ApiClient, ApiResponse, ApiUser, ApiUserInterfaceTraits, GetClientRequest, LabelClientsRequest,
    NotificationRequest, OrgRecord, SearchClientsRequest, SearchClientsResponse, api_user,
};

use crate::server::clients::Client;
use crate::server::refusal;
use crate::service::{Caller, Service};

/// `limit: 0` means so many.
const DEFAULT_LIMIT: u64 = 50;
/// Seen within this time counts as online for the filter, microseconds.
const ONLINE_WINDOW: u64 = 15 * 60 * 1_000_000;

impl Service {
    /// Pages have up to `limit + 1` items, and overlap: the server's own bug (§9).
    pub(super) fn search_clients(
        &self,
        caller: &Caller,
        request: SearchClientsRequest,
    ) -> Result<SearchClientsResponse, Status> {
        caller.must(caller.permissions.read_results, "User is not allowed to view clients.")?;
        let now = self.deployment.clock.micros();
        let mut inner = self.deployment.lock();
        let online = request.filter() == Filters::Online;
        let mut found: Vec<&mut Client> = inner
            .clients
            .values_mut()
            .filter(|client| matches(&request.query, client))
            .filter(|client| {
                !online || client.is_connected(now) || now.saturating_sub(client.last_seen) < ONLINE_WINDOW
            })
            .collect();
        let total = found.len() as u64;
        let limit = if request.limit == 0 { DEFAULT_LIMIT } else { request.limit };
        let skip = usize::try_from(request.offset.saturating_sub(1)).unwrap_or(usize::MAX);
        let take = usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        let mut names = Vec::new();
        for client in found.iter_mut().skip(skip).take(take) {
            if request.name_only {
                names.push(client.profile.hostname.clone());
            } else {
                // An open connection keeps `last_seen_at` fresh in the index too.
                items.push(client.describe(true, now));
            }
        }
        Ok(SearchClientsResponse { items, names, total, search_term: Some(request) })
    }

    /// An unknown id gives an empty client and no error.
    pub(super) fn one_client(&self, caller: &Caller, request: &GetClientRequest) -> Result<ApiClient, Status> {
        caller.must(caller.permissions.read_results, "User is not allowed to view clients.")?;
        let now = self.deployment.clock.micros();
        let mut inner = self.deployment.lock();
        Ok(inner
            .clients
            .get_mut(&request.client_id)
            .map(|client| client.describe(!request.lightweight, now))
            .unwrap_or_default())
    }

    pub(super) fn label(&self, caller: &Caller, request: &LabelClientsRequest) -> Result<ApiResponse, Status> {
        caller.must(caller.permissions.label_clients, "User is not allowed to label clients.")?;
        let mut inner = self.deployment.lock();
        for client_id in &request.client_ids {
            let Some(client) = inner.clients.get_mut(client_id) else {
                continue;
            };
            for label in &request.labels {
                client.labels.retain(|known| known != label);
                if request.operation == "set" {
                    client.labels.push(label.clone());
                }
            }
            client.save().map_err(refusal::disk)?;
        }
        Ok(ApiResponse::default())
    }

    pub(super) fn notify(&self, caller: &Caller, request: &NotificationRequest) -> Result<(), Status> {
        caller.must(caller.permissions.collect_client, "User is not allowed to notify clients.")?;
        let inner = self.deployment.lock();
        for (client_id, client) in &inner.clients {
            if request.notify_all || *client_id == request.client_id {
                client.wake.notify_one();
            }
        }
        Ok(())
    }

    pub(super) fn traits(&self, caller: &Caller) -> ApiUser {
        ApiUser {
            username: caller.name.clone(),
            interface_traits: Some(ApiUserInterfaceTraits {
                permissions: Some(caller.permissions.wire()),
                org: "root".to_string(),
                org_name: "<root>".to_string(),
                ..ApiUserInterfaceTraits::default()
            }),
            user_type: api_user::UserType::Admin.into(),
            orgs: vec![OrgRecord { name: "<root>".to_string(), id: "root".to_string(), ..OrgRecord::default() }],
            ..ApiUser::default()
        }
    }
}

/// Whether a search term finds a client. `*` is a wildcard.
pub(crate) fn matches(query: &str, client: &Client) -> bool {
    let query = query.trim();
    let profile = &client.profile;
    let host = |pattern: &str| {
        wildcard(pattern, &profile.hostname) || wildcard(pattern, &format!("{}.example.test", profile.hostname))
    };
    let label = |pattern: &str| client.labels.iter().any(|label| wildcard(pattern, label));
    match query.split_once(':') {
        None if query.is_empty() || query == "all" => true,
        None if query.starts_with("C.") => profile.client_id.starts_with(query.trim_end_matches('*')),
        None => host(query) || label(query),
        Some(("client", id)) => profile.client_id.starts_with(id.trim_end_matches('*')),
        Some(("host", pattern)) => host(pattern),
        Some(("label", "none")) => client.labels.is_empty(),
        Some(("label", pattern)) => label(pattern),
        Some(("recent", _)) => true,
        Some(_) => false,
    }
}

/// Case-insensitive match with `*`.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut last = "";
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
        last = part;
    }
    last.is_empty() || text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::wildcard;

    #[test]
    fn search_terms_match_with_wildcards_and_without_case() {
        for (pattern, text, expected) in [
            ("web-01", "WEB-01", true),
            ("web", "web-01", false),
            ("web*", "web-01", true),
            ("*01", "web-01", true),
            ("*b-*1", "web-01", true),
            ("*x*", "web-01", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }
}
