//! The list of clients and its paging quirk (§9), and who is connected (§7.2).

use raptorgate_simulator::{Config, EndpointConfig, Simulator, Timing};
use velociraptor_proto::proto::{GetClientRequest, LabelClientsRequest, SearchClientsRequest};

use crate::rig::{Rig, connect, fixture};

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_one_item_too_many_and_overlap() {
    let root = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::new(state.path());
    config.timing = Timing::instant();
    config.endpoints = (0..8).map(|number| EndpointConfig::directory(&format!("host{number}"), root.path())).collect();
    let simulator = Simulator::start(config).await.unwrap();
    let mut api = connect(simulator.api_config()).await;
    let mut page = async |offset| {
        let request =
            SearchClientsRequest { offset, limit: 3, query: "all".to_string(), ..SearchClientsRequest::default() };
        let answer = api.list_clients(request).await.unwrap().into_inner();
        assert_eq!(answer.total, 8);
        answer.items.into_iter().map(|client| client.client_id).collect::<Vec<_>>()
    };
    let first = page(0).await;
    let second = page(3).await;
    assert_eq!((first.len(), second.len()), (4, 4));
    assert_eq!(first[2..], second[..2]);
    let all: std::collections::BTreeSet<String> = first.into_iter().chain(second).chain(page(6).await).collect();
    assert_eq!(all.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_by_host_label_and_id() {
    let mut rig = Rig::start().await;
    let label = LabelClientsRequest {
        client_ids: vec![rig.client_id.clone()],
        labels: vec!["servers".to_string()],
        operation: "set".to_string(),
    };
    rig.api.label_clients(label).await.unwrap();
    for (query, found) in [
        ("all", 1),
        ("host:host1", 1),
        ("host:h*", 1),
        ("label:servers", 1),
        ("label:none", 0),
        ("host:nosuchhost", 0),
        (rig.client_id.clone().as_str(), 1),
    ] {
        let request = SearchClientsRequest { query: query.to_string(), ..SearchClientsRequest::default() };
        let answer = rig.api.list_clients(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.items.len(), found, "{query}");
        if found == 0 && query.starts_with("host") {
            let recorded = fixture("listclients_none");
            assert_eq!(recorded["responses"][0]["search_term"]["query"], query);
            assert_eq!((answer.total, answer.search_term), (0, Some(request)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_client_is_an_empty_answer_and_a_connected_one_was_seen_now() {
    let mut rig = Rig::start().await;
    let unknown = GetClientRequest { client_id: "C.0123456789abcdef".to_string(), ..GetClientRequest::default() };
    assert_eq!(
        rig.api.get_client(unknown).await.unwrap().into_inner(),
        velociraptor_proto::proto::ApiClient::default()
    );
    let known = GetClientRequest { client_id: rig.client_id.clone(), ..GetClientRequest::default() };
    rig.list(&[]).await;
    let mut seen = 0;
    for _ in 0..200 {
        let client = rig.api.get_client(known.clone()).await.unwrap().into_inner();
        if client.last_seen_at > seen && seen > 0 {
            seen = u64::MAX;
            break;
        }
        seen = client.last_seen_at;
        assert_eq!(client.os_info.unwrap().system, "linux");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(seen, u64::MAX, "last_seen_at of a connected client never moved");
    rig.handle.set_online(&rig.client_id, false).unwrap();
    let first = rig.api.get_client(known.clone()).await.unwrap().into_inner().last_seen_at;
    let second = rig.api.get_client(known).await.unwrap().into_inner().last_seen_at;
    assert!(second - first < 50_000, "an offline client is not seen");
}
