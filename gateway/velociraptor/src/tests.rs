//! The backend over a server in memory: what is held, what is read, which endpoints there are.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use velociraptor_proto::proto;
use vfs::backend::{Backend as _, ContentLocation, Delivery, EndpointChange, Limits, Work};
use vfs::{EndpointId, EndpointPath, ErrorKind, FileType, Principal, Reason};

use crate::driver::{Driver, Options};
use crate::server::fake::{CLIENT, DIRECTORY, FakeServer, fixture};

fn stage() -> (Arc<FakeServer>, Driver) {
    let server = Arc::new(FakeServer::new());
    let driver = Driver::over(server.clone(), "fake", "vfsgw", Options::default());
    (server, driver)
}

fn directory() -> EndpointPath {
    EndpointPath::accessor_root(EndpointId::root_org(CLIENT), "auto").child("srv").unwrap()
}

fn hold(server: &FakeServer, record: &str, files: &str) {
    let table: proto::GetTableResponse = fixture(files);
    let mut record: proto::VfsListResponse = fixture(record);
    if record.total_rows > 0 {
        record.total_rows = table.rows.len() as u64;
    }
    *server.record.lock().unwrap() = record;
    server.set_table(DIRECTORY, DIRECTORY, table);
}

#[tokio::test]
async fn a_listing_that_the_server_holds_is_whole_and_says_what_is_collected() {
    let (server, driver) = stage();
    hold(&server, "stat_listed", "listfiles_downloads");
    let held = driver.held(&directory()).await.unwrap().unwrap();
    let collected: Vec<_> = held
        .collected
        .iter()
        .map(|(ordinal, fetched)| (held.rows.row(*ordinal).unwrap().name(), fetched.content.as_ref().unwrap().size))
        .collect();
    let expected = [
        ("empty.bin", 0),
        ("growing.log", 8_329_072),
        ("k1.bin", 1_024),
        ("m10.bin", 10_485_760),
        ("m200.log", 209_990_000),
    ];
    assert_eq!(collected, expected, "not what failed and not what is still on its way");
    assert_eq!(held.collected[1].1.observation.started.seconds, 1_795_527_872, "when the flow was made");
    assert_eq!(&*held.observation.job, "F.DC2PDQKDQG1RO");
}

#[tokio::test]
async fn odd_names_and_special_files_are_listed_as_they_are() {
    let (server, driver) = stage();
    hold(&server, "stat_listed", "listfiles_names");
    let held = driver.held(&directory()).await.unwrap().unwrap();
    let table: proto::GetTableResponse = fixture("listfiles_names");
    assert_eq!(held.rows.len(), table.rows.len());
    assert!(held.rows.iter().any(|row| row.name().len() == 255));
    assert!(held.rows.iter().any(|row| row.name().contains('\n')));
    assert!(held.rows.iter().any(|row| row.unfetchable()));

    hold(&server, "stat_listed", "listfiles_special");
    let held = driver.held(&directory()).await.unwrap().unwrap();
    let found = |name: &str| held.rows.iter().find(|row| row.name() == name).unwrap();
    assert_eq!(found("blk").file_type(), FileType::BlockDevice);
    assert_eq!(found("chr").file_type(), FileType::CharacterDevice);
    assert_eq!(found("pipe").file_type(), FileType::Fifo);
    assert_eq!(found("sock").file_type(), FileType::Socket);
    assert_eq!((found("suid").mode(), found("sticky").mode()), (0o4755, 0o1777));
    assert_eq!(found("sparse5g").size(), 5 << 30);
    assert_eq!(found("pre1970").times().modified.unwrap().seconds, -144_676_800);
}

#[tokio::test]
async fn never_listed_and_failed_are_no_listings_and_empty_is_one() {
    let (server, driver) = stage();
    for record in ["stat_never", "stat_failed"] {
        hold(&server, record, "listfiles_never");
        assert!(driver.held(&directory()).await.unwrap().is_none(), "{record}");
    }
    hold(&server, "stat_empty", "listfiles_empty");
    assert!(driver.held(&directory()).await.unwrap().unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_record_whose_rows_are_missing_is_no_listing() {
    let (server, driver) = stage();
    hold(&server, "stat_listed", "listfiles_small");
    server.record.lock().unwrap().total_rows += 1;
    assert!(driver.held(&directory()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_nameless_row_without_the_download_field_is_passed_over() {
    let (server, driver) = stage();
    hold(&server, "stat_listed", "listfiles_small");
    let mut table: proto::GetTableResponse = fixture("listfiles_small");
    let before = driver.held(&directory()).await.unwrap().unwrap().rows.len();
    let shifted = r#"["/srv/x",["srv","x"],"auto",null,"",0,"-rw-r--r--","","","","",3]"#;
    table.rows.insert(3, proto::Row { json: shifted.into(), ..Default::default() });
    server.record.lock().unwrap().total_rows += 1;
    server.set_table(DIRECTORY, DIRECTORY, table);
    assert_eq!(driver.held(&directory()).await.unwrap().unwrap().rows.len(), before);
}

#[tokio::test]
async fn servers_before_0_74_say_the_same_in_cells() {
    let (server, driver) = stage();
    hold(&server, "stat_listed", "listfiles_downloads");
    let new = driver.held(&directory()).await.unwrap().unwrap();
    let mut table: proto::GetTableResponse = fixture("listfiles_downloads");
    #[allow(deprecated)]
    for row in &mut table.rows {
        let values: Vec<serde_json::Value> = serde_json::from_str(&row.json).unwrap();
        row.json.clear();
        row.cell = values
            .iter()
            .map(|value| match value {
                serde_json::Value::String(text) if text.starts_with(' ') => format!(" {text}"),
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Null => String::new(),
                other => serde_json::to_string_pretty(other).unwrap(),
            })
            .collect();
    }
    server.set_table(DIRECTORY, DIRECTORY, table);
    let old = driver.held(&directory()).await.unwrap().unwrap();
    assert_eq!(old.rows.len(), new.rows.len());
    for (old, new) in old.rows.iter().zip(new.rows.iter()) {
        assert_eq!(
            (old.name(), old.size(), old.mode(), old.times()),
            (new.name(), new.size(), new.mode(), new.times())
        );
    }
    assert_eq!(old.collected.len(), new.collected.len());
}

#[tokio::test]
async fn short_answers_are_read_on_and_the_end_is_the_end() {
    let (_, driver) = stage();
    let location = ContentLocation { org: "root".into(), components: vec!["x".into()] };
    let bytes = driver.read(&location, 100, 2_000_000).await.unwrap();
    assert_eq!(bytes.len(), 2_000_000);
    assert!(bytes.iter().zip(100u32..).all(|(byte, at)| u32::from(*byte) == at % 251));
    assert_eq!(driver.read(&location, 2_600_000, 1 << 20).await.unwrap().len(), (5 << 19) - 2_600_000);
    assert!(driver.read(&location, 5 << 19, 10).await.unwrap().is_empty());
    let absent = ContentLocation { components: vec!["absent".into()], ..location };
    assert_eq!(driver.read(&absent, 0, 10).await.unwrap_err().kind(), ErrorKind::Absent);
}

fn delivery(works: Vec<Work>) -> Delivery {
    let limits = Limits { timeout: Duration::from_secs(9), max_rows: 0, max_upload_bytes: 0, cpu_percent: 25 };
    Delivery { works, principal: Principal::new("alice"), reason: Reason("LOOKUP".into()), limits }
}

#[tokio::test]
async fn one_delivery_starts_one_flow_for_each_work_or_none() {
    let (server, driver) = stage();
    let endpoint = EndpointId::root_org(CLIENT);
    let works = vec![Work::List { directory: directory(), depth: 0 }, Work::Fetch { files: vec![directory()] }];
    let jobs = driver.submit(&endpoint, delivery(works)).await.unwrap();
    assert_eq!(jobs.len(), 2);
    assert_eq!(server.collected.lock().unwrap()[1].artifacts, ["System.VFS.DownloadFile"]);
    let files = vec![directory().child("a").unwrap(), directory().child("b").unwrap()];
    let jobs = driver.submit(&endpoint, delivery(vec![Work::Fetch { files }])).await.unwrap();
    assert_eq!(jobs.len(), 1, "two flows are one job on a server without our artifact");
    assert_eq!(server.collected.lock().unwrap().len(), 4);
    let unknown = EndpointId::root_org("C.1");
    let works = vec![Work::List { directory: EndpointPath { endpoint: unknown.clone(), ..directory() }, depth: 0 }];
    assert_eq!(driver.submit(&unknown, delivery(works)).await.unwrap_err().kind(), ErrorKind::Invalid);
    let elsewhere = EndpointId { org: "O123".into(), ..endpoint };
    let works = vec![Work::List { directory: EndpointPath { endpoint: elsewhere.clone(), ..directory() }, depth: 0 }];
    assert_eq!(driver.submit(&elsewhere, delivery(works)).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn clients_of_another_organisation_are_not_taken_for_those_that_were_asked_for() {
    let (server, driver) = stage();
    let client = proto::ApiClient { client_id: "C.0123456789abcdef-OTEST1".into(), ..Default::default() };
    server.clients.lock().unwrap().push(client);
    match driver.endpoints().next().await {
        Some(EndpointChange::Unreachable { message }) => assert!(message.contains("another organisation"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_go_and_stay_while_the_server_is_away() {
    let (server, driver) = stage();
    let client = |index: usize| proto::ApiClient { client_id: format!("C.{index:016x}"), ..Default::default() };
    server.clients.lock().unwrap().extend((0..2_500).map(client));
    server.clients.lock().unwrap().push(proto::ApiClient { client_id: "server".into(), ..Default::default() });
    let mut changes = driver.endpoints();
    let mut round = async || {
        let mut news = Vec::new();
        loop {
            match changes.next().await.unwrap() {
                EndpointChange::Complete => return news,
                change => news.push(change),
            }
        }
    };
    assert_eq!(round().await.len(), 2_500, "each once, although pages overlap, and never the server itself");
    assert_eq!(round().await, []);
    let gone = server.clients.lock().unwrap().remove(7).client_id;
    assert_eq!(round().await, [EndpointChange::Gone(EndpointId::root_org(gone))]);
    server.down.store(true, Ordering::Relaxed);
    let back = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        server.down.store(false, Ordering::Relaxed);
    };
    let (news, ()) = tokio::join!(round(), back);
    assert!(
        !news.is_empty() && news.iter().all(|change| matches!(change, EndpointChange::Unreachable { .. })),
        "{news:?}"
    );
    assert_eq!(driver.presence(&EndpointId::root_org("C.ff")).await.unwrap_err().kind(), ErrorKind::Invalid);
}
