//! `Query`: rows, log lines, and errors that are log lines only (§6.5, §17).

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Code;
use velociraptor_proto::proto::artifact_collector_context::State;
use velociraptor_proto::proto::{VqlCollectorArgs, VqlEnv, VqlRequest, VqlResponse};

use crate::rig::{Rig, fixture};

fn request(vql: &str, env: &[(&str, &str)]) -> VqlCollectorArgs {
    VqlCollectorArgs {
        query: vec![VqlRequest { vql: vql.to_string(), name: "q".to_string() }],
        env: env
            .iter()
            .map(|(key, value)| VqlEnv { key: (*key).to_string(), value: (*value).to_string(), ..VqlEnv::default() })
            .collect(),
        max_row: 1000,
        max_wait: 1,
        ..VqlCollectorArgs::default()
    }
}

async fn all(rig: &mut Rig, vql: &str, env: &[(&str, &str)]) -> Vec<VqlResponse> {
    let stream = rig.api.query(request(vql, env)).await.unwrap().into_inner();
    stream.map(Result::unwrap).collect().await
}

fn data(responses: &[VqlResponse]) -> Vec<serde_json::Value> {
    responses
        .iter()
        .filter(|response| !response.response.is_empty())
        .flat_map(|response| serde_json::from_str::<Vec<serde_json::Value>>(&response.response).unwrap())
        .collect()
}

fn logs(responses: &[VqlResponse]) -> String {
    responses.iter().map(|response| response.log.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_listed_with_columns_in_order_and_logs_in_between() {
    let mut rig = Rig::start().await;
    let recorded = fixture("query_clients");
    let vql = recorded["request"]["Query"][0]["VQL"].as_str().unwrap().to_string();
    let answers = all(&mut rig, &vql, &[]).await;
    assert_eq!(answers.len(), recorded["responses"].as_array().unwrap().len());
    assert_eq!(answers[0].log, recorded["responses"][0]["log"]);
    assert!(answers[1].log.starts_with("Time 0: q: Sending response part 0 "));
    assert_eq!(answers[2].columns, ["client_id", "OS"]);
    assert_eq!(data(&answers)[0]["client_id"], rig.client_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn syntax_errors_and_missing_permissions_are_log_lines_of_a_stream_that_ends_well() {
    let mut rig = Rig::start().await;
    let recorded = fixture("query_syntax_error");
    let answers = all(&mut rig, "SELECT FROM WHERE", &[]).await;
    assert_eq!(answers.len(), recorded["responses"].as_array().unwrap().len());
    assert!(answers[1].log.starts_with("VQL Error: 1:"));

    let recorded = fixture("query_denied");
    let answers = all(&mut rig, "SELECT read_file(filename='/etc/hostname') FROM scope()", &[]).await;
    assert_eq!(answers[1].log, recorded["responses"][1]["log"]);
    assert_eq!(answers[3].response, recorded["responses"][3]["Response"]);

    assert!(logs(&all(&mut rig, "SELECT * FROM nosuch()", &[]).await).contains("Plugin nosuch not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_org_is_refused() {
    let mut rig = Rig::start().await;
    let mut query = request("SELECT 1 FROM scope()", &[]);
    query.org_id = "ONOPE".to_string();
    let refused = rig.api.query(query).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "Org not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_can_be_started_watched_and_read_by_vql_alone() {
    let mut rig = Rig::with(raptorgate_simulator::Timing::instant(), |root| {
        std::fs::write(root.join("file"), b"x").unwrap();
    })
    .await;
    let watch = request("SELECT FlowId, ClientId FROM watch_monitoring(artifact='System.Flow.Completion')", &[]);
    let mut events = rig.api.query(watch).await.unwrap().into_inner();
    let client_id = rig.client_id.clone();
    let start = "SELECT collect_client(client_id=ClientId, artifacts='System.VFS.ListDirectory', \
                 spec=dict(`System.VFS.ListDirectory`=dict(Components=Comp, Accessor='auto', Depth='0')), \
                 urgent=TRUE) AS Flow FROM scope()";
    let answers = all(&mut rig, start, &[("ClientId", &client_id), ("Comp", "[]")]).await;
    let flow_id = data(&answers)[0]["Flow"]["flow_id"].as_str().unwrap().to_string();
    assert_eq!(rig.wait(&flow_id).await.state(), State::Finished);
    let told = async {
        while let Some(response) = events.next().await {
            if response.unwrap().response.contains(&flow_id) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    let rows = all(
        &mut rig,
        "SELECT Name, Size FROM source(client_id=ClientId, flow_id=FlowId, artifact='System.VFS.ListDirectory/Listing')",
        &[("ClientId", &client_id), ("FlowId", &flow_id)],
    )
    .await;
    assert_eq!(data(&rows), [serde_json::json!({"Name": "file", "Size": 1})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orgs_and_the_version_can_be_asked() {
    let mut rig = Rig::start().await;
    let answers = all(&mut rig, "SELECT Name, OrgId FROM orgs()", &[]).await;
    assert_eq!(data(&answers), [serde_json::json!({"Name": "<root>", "OrgId": "root"})]);
    let answers = all(&mut rig, "SELECT config.version.version AS V FROM scope()", &[]).await;
    assert_eq!(data(&answers)[0]["V"], "0.77.2");
    let answers = all(&mut rig, "SELECT * FROM config", &[]).await;
    assert_eq!(data(&answers)[0]["version"]["name"], "velociraptor");
}
