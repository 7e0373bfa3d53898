//! The control socket: switches for those who are not in the process.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_json_lines_and_each_gets_one_answer() {
    let mut rig = Rig::start().await;
    let stream = UnixStream::connect(rig.state.path().join("simulator/control.sock")).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut ask = async |command: Value| -> Value {
        writer.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap()
    };
    let client_id = rig.client_id.clone();
    assert_eq!(ask(json!({"offline": client_id})).await, json!({"ok": true}));
    assert!(!rig.simulator.clients()[0].online);
    assert_eq!(ask(json!({"online": client_id})).await, json!({"ok": true}));
    let clients = ask(json!({"clients": {}})).await;
    assert_eq!(
        (&clients["clients"][0]["client_id"], &clients["clients"][0]["online"]),
        (&json!(client_id), &json!(true))
    );
    assert_eq!(ask(json!({"fault": {"fail_next_flows": {"count": 1, "text": "told to"}}})).await, json!({"ok": true}));
    assert_eq!(rig.list(&[]).await.status, "told to");
    let counters = ask(json!({"counters": {}})).await;
    assert_eq!(counters["counters"]["flows"][&client_id]["System.VFS.ListDirectory"], 1);
    assert_eq!(ask(json!({"deny": {"client": client_id, "path": []}})).await, json!({"ok": true}));
    assert!(rig.list(&[]).await.artifacts_with_results.is_empty());
    assert!(ask(json!({"online": "C.none"})).await["error"].as_str().unwrap().contains("no client"));
    assert!(ask(json!({"explode": 1})).await["error"].as_str().unwrap().contains("no such command"));
}
