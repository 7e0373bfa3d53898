//! The server's clients as a stream of changes (docs/velociraptor-api.md §9).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use velociraptor_proto::proto;
use vfs::backend::EndpointChange;
use vfs::{Endpoint, EndpointId, System, Timestamp};

use crate::server::{CallError, CallResult};
use crate::watch::Shared;

const PAGE: u64 = 1_000;
/// Clients of one server that are shown at most.
const MAX_CLIENTS: usize = 1_000_000;
/// That an endpoint was heard of again is a change only if the last one is older than this.
const SEEN_STEP: Duration = Duration::from_secs(300);
/// Clients that are missing in one round and are asked for one by one.
const MAX_ASKED: usize = 1_000;
/// The pseudo client that is the server itself: never an endpoint.
const SERVER: &str = "server";

/// All endpoints, then every change, until the stream is dropped.
pub(crate) fn changes(shared: Arc<Shared>, pause: Duration) -> BoxStream<'static, EndpointChange> {
    let (sender, receiver) = mpsc::channel(256);
    tokio::spawn(poll(shared, pause, sender));
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|change| (change, receiver))
    })
    .boxed()
}

async fn poll(shared: Arc<Shared>, pause: Duration, sender: mpsc::Sender<EndpointChange>) {
    let mut known: HashMap<Arc<str>, Endpoint> = HashMap::new();
    loop {
        shared.server_clock.ask(&*shared.server, &*shared.clock).await;
        let news = match round(&shared, &known).await {
            Ok(news) => news,
            Err(error) => vec![EndpointChange::Unreachable { message: Arc::from(error.to_string()) }],
        };
        for change in news {
            match &change {
                EndpointChange::Present(endpoint) => {
                    known.insert(endpoint.id.client_id.clone(), endpoint.clone());
                }
                EndpointChange::Gone(id) => {
                    known.remove(&id.client_id);
                }
                _ => {}
            }
            if sender.send(change).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One round over all clients: what is different from `known`.
async fn round(shared: &Shared, known: &HashMap<Arc<str>, Endpoint>) -> CallResult<Vec<EndpointChange>> {
    let server = &*shared.server;
    let orgs = server.orgs().await?;
    let mut present = HashMap::new();
    for org in &orgs {
        all(shared, org, &mut present).await?;
    }
    // An organisation in which we may do nothing any more tells nothing about its endpoints.
    if let Some(lost) =
        known.values().map(|endpoint| &*endpoint.id.org).find(|org| !orgs.iter().any(|asked| asked == org))
    {
        return Err(CallError::Denied(format!("we have no rights in the organisation {lost} any more")));
    }
    let mut news: Vec<EndpointChange> = present
        .values()
        .filter(|endpoint| known.get(&endpoint.id.client_id).is_none_or(|before| is_news(before, endpoint)))
        .map(|endpoint| EndpointChange::Present(endpoint.clone()))
        .collect();
    // Pages shift while clients come and go: one that is missing is gone only if the server says so.
    for endpoint in known.values().filter(|endpoint| !present.contains_key(&endpoint.id.client_id)).take(MAX_ASKED) {
        let answer = server.client(&endpoint.id.client_id, true).await?;
        if answer.client_id.is_empty() {
            news.push(EndpointChange::Gone(endpoint.id.clone()));
        }
    }
    news.push(EndpointChange::Complete);
    Ok(news)
}

/// All clients of an organisation. A page has one item more than was asked for, and pages overlap (§9).
async fn all(shared: &Shared, org: &str, present: &mut HashMap<Arc<str>, Endpoint>) -> CallResult<()> {
    let mut offset = 0;
    loop {
        let page = shared.server.clients(org, offset, PAGE).await?;
        let before = present.len();
        for mut endpoint in page.items.iter().filter_map(endpoint) {
            if &*endpoint.id.org != org {
                return Err(CallError::Failed(format!("it answers for another organisation than {org}")));
            }
            endpoint.last_seen = endpoint.last_seen.map(|seen| shared.server_clock.ours(seen));
            present.insert(endpoint.id.client_id.clone(), endpoint);
        }
        offset += PAGE;
        if offset >= page.total || present.len() == before || present.len() >= MAX_CLIENTS {
            return Ok(());
        }
    }
}

fn is_news(before: &Endpoint, now: &Endpoint) -> bool {
    let same_but_for_seen = Endpoint { last_seen: before.last_seen, ..now.clone() } == *before;
    let seen_again = match (before.last_seen, now.last_seen) {
        (Some(before), Some(now)) => now.since(before) >= SEEN_STEP,
        (before, now) => before != now,
    };
    !same_but_for_seen || seen_again
}

/// Client ids are `C.` and letters and digits, with `-ORG` in other organisations.
fn endpoint(client: &proto::ApiClient) -> Option<Endpoint> {
    let id = client.client_id.as_str();
    let tail = id.strip_prefix("C.")?;
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id == SERVER || tail.is_empty() || id.len() > 128 || !tail.bytes().all(safe) {
        return None;
    }
    let system = client.os_info.as_ref();
    Some(Endpoint {
        id: EndpointId::of_client_id(id),
        hostname: system.map(|system| system.hostname.clone()).unwrap_or_default(),
        system: match system.map(|system| system.system.as_str()) {
            Some("windows") => System::Windows,
            Some("linux") => System::Linux,
            Some("darwin") => System::Darwin,
            _ => System::Unknown,
        },
        agent_version: client.agent_information.as_ref().map(|agent| agent.version.clone()).unwrap_or_default(),
        labels: client.labels.clone(),
        last_seen: (client.last_seen_at != 0).then(|| Timestamp::from_micros(client.last_seen_at)),
        first_seen: match client.first_seen_at {
            0 => None,
            seconds => Some(Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str, last_seen_at: u64) -> proto::ApiClient {
        proto::ApiClient { client_id: id.into(), last_seen_at, ..Default::default() }
    }

    #[test]
    fn only_clients_become_endpoints() {
        for bad in ["server", "", "C.", "C.../x", "C.1/2"] {
            assert!(endpoint(&client(bad, 0)).is_none(), "{bad}");
        }
        assert_eq!(
            endpoint(&client("C.a9737bfea64c73c9-OTEST1", 0)).unwrap().id.to_string(),
            "C.a9737bfea64c73c9-OTEST1"
        );
    }

    #[test]
    fn being_heard_of_again_is_news_only_now_and_then() {
        let at = |seconds: u64| endpoint(&client("C.1", seconds * 1_000_000)).unwrap();
        assert!(!is_news(&at(1000), &at(1030)));
        assert!(is_news(&at(1000), &at(1300)));
        assert!(is_news(&at(0), &at(1)));
        let renamed = Endpoint { hostname: "other".into(), ..at(1000) };
        assert!(is_news(&at(1000), &renamed));
    }
}
