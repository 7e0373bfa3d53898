//! Generated endpoints: shapes of every accessor, deterministic and lazy (§4.2, §4.6, §15.13).

use std::collections::BTreeMap;

use raptorgate_simulator::{Config, EndpointConfig, Generated, Simulator, Timing};
use serde_json::Value;
use velociraptor_proto::proto::GetTableResponse;
use velociraptor_proto::proto::artifact_collector_context::State;

use crate::rig::{DOWNLOAD, LIST, LISTING, Rig, column, connect, rows};

async fn start(tree: Generated) -> Rig {
    let root = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::new(state.path());
    config.timing = Timing::instant();
    config.endpoints = vec![EndpointConfig::generated("made", tree)];
    let simulator = Simulator::start(config).await.unwrap();
    let api = connect(simulator.api_config()).await;
    let client_id = simulator.clients()[0].client_id.clone();
    Rig { handle: simulator.handle(), simulator, api, client_id, root, state }
}

async fn list(rig: &mut Rig, accessor: &str, path: &[&str]) -> GetTableResponse {
    let components = serde_json::to_string(path).unwrap();
    let flow = rig.run(LIST, &[("Components", &components), ("Accessor", accessor), ("Depth", "0")]).await;
    assert_eq!(flow.state(), State::Finished, "{}", flow.status);
    rig.table(&flow.session_id, LISTING).await
}

/// Rows by name, each as an object.
fn by_name(table: &GetTableResponse) -> BTreeMap<String, BTreeMap<String, Value>> {
    rows(table)
        .into_iter()
        .map(|row| {
            let row: BTreeMap<String, Value> = table.columns.iter().cloned().zip(row).collect();
            (row["Name"].as_str().unwrap().to_string(), row)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accessors_of_windows_start_with_drives_devices_and_hives() {
    let mut rig = start(Generated::Windows).await;
    let drives = by_name(&list(&mut rig, "auto", &[]).await);
    assert_eq!(drives.keys().collect::<Vec<_>>(), ["C:", "D:", "E:"]);
    assert_eq!(drives["C:"]["Mode"], "drwxr-xr-x");
    assert_eq!(drives["D:"]["Size"], 10_995_116_277_760u64);
    assert_eq!(drives["C:"]["mtime"], "0001-01-01T00:00:00Z");
    let devices = by_name(&list(&mut rig, "ntfs", &[]).await);
    assert!(devices.contains_key("\\\\.\\C:"));
    assert!(devices.contains_key("\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy2"));
    let hives = by_name(&list(&mut rig, "registry", &[]).await);
    assert!(hives.contains_key("HKEY_LOCAL_MACHINE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn api_and_raw_rows_of_one_directory_differ_as_on_windows() {
    let mut rig = start(Generated::Windows).await;
    let api = by_name(&list(&mut rig, "auto", &["C:"]).await);
    let raw = by_name(&list(&mut rig, "ntfs", &["\\\\.\\C:"]).await);
    assert!(raw.contains_key("$MFT") && !api.contains_key("$MFT"));
    assert_eq!((&api["Users"]["Mode"], &raw["Users"]["Mode"]), (&"drwxrwxrwx".into(), &"drwxr-xr-x".into()));
    assert_eq!(api["Documents and Settings"]["_Data"]["Link"], "C:\\Users");
    assert_eq!(api["pagefile.sys"]["mtime"], api["pagefile.sys"]["ctime"]);
    let mft = raw["pagefile.sys"]["_Data"]["mft"].as_str().unwrap();
    assert_eq!(mft.split('-').count(), 3);
    assert!(raw["pagefile.sys"]["_Data"]["fn_btime"].as_str().unwrap().ends_with('Z'));
    let downloads = ["\\\\.\\C:", "Users", "alice", "Downloads"];
    let streams = by_name(&list(&mut rig, "ntfs", &downloads).await);
    assert!(streams.contains_key("setup.exe:Zone.Identifier"));
    let downloads = by_name(&list(&mut rig, "auto", &["c:", "users", "ALICE", "downloads"]).await);
    assert!(downloads.contains_key("setup.exe") && !downloads.contains_key("setup.exe:Zone.Identifier"));
    assert_eq!(downloads["setup.exe"]["_Components"][0], "c:");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_directory_falls_back_to_raw_and_its_children_are_named_by_the_device() {
    let mut rig = start(Generated::Windows).await;
    let rows = by_name(&list(&mut rig, "auto", &["C:", "System Volume Information"]).await);
    assert_eq!(rows["tracking.log"]["_Components"][0], "\\\\.\\C:");
    assert_eq!(list(&mut rig, "file", &["C:", "System Volume Information"]).await.total_rows, -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_files_are_read_by_auto_and_refused_by_file() {
    let mut rig = start(Generated::Windows).await;
    let sam = r#"["C:","Windows","System32","config","SAM"]"#;
    let flow = rig.run(DOWNLOAD, &[("Components", sam), ("Accessor", "auto")]).await;
    assert_eq!((flow.total_uploaded_files, flow.total_uploaded_bytes), (1, 131_072));
    let flow = rig.run(DOWNLOAD, &[("Components", sam), ("Accessor", "file")]).await;
    let table = rig.table(&flow.session_id, DOWNLOAD).await;
    assert!(column(&table, "Error")[0].as_str().unwrap().contains("used by another process"));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_times_case_twins_and_shadow_copies_are_there() {
    let mut rig = start(Generated::Windows).await;
    let documents = ["C:", "Users", "alice", "Documents"];
    let with = |last: &'static str| {
        let mut path = documents.to_vec();
        path.push(last);
        path
    };
    let times = by_name(&list(&mut rig, "auto", &with("Odd times")).await);
    assert_eq!(times["year 1601.txt"]["mtime"], "1601-01-01T00:00:00Z");
    assert_eq!(times["year 9999.txt"]["btime"], "9999-12-31T23:59:59Z");
    assert_eq!(times["fine.txt"]["mtime"], "2023-11-14T22:13:20.1234567Z");
    let twins = by_name(&list(&mut rig, "auto", &with("Case twins")).await);
    assert_eq!(twins.keys().collect::<Vec<_>>(), ["README.TXT", "Readme.txt", "readme.txt"]);
    let shadow = ["\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy1", "Users", "alice", "Documents"];
    assert!(by_name(&list(&mut rig, "ntfs", &shadow).await).contains_key("deleted since.docx"));
    assert!(!by_name(&list(&mut rig, "auto", &documents).await).contains_key("deleted since.docx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_values_are_files_whose_content_is_not_their_size() {
    let mut rig = start(Generated::Windows).await;
    let types = list(&mut rig, "registry", &["HKEY_LOCAL_MACHINE", "SYSTEM", "Types"]).await;
    let values = by_name(&types);
    assert_eq!(values["dword"]["_Data"]["value"], 4_294_967_295u64);
    assert!(values["large"]["_Data"].get("value").is_none());
    let text = r#"["HKEY_LOCAL_MACHINE","SYSTEM","Types","text"]"#;
    let flow = rig.run(DOWNLOAD, &[("Components", text), ("Accessor", "registry")]).await;
    let uploads = rig.typed_table(&flow.session_id, "uploads").await;
    assert_eq!((column(&uploads, "file_size"), column(&uploads, "uploaded_size")), (vec![10.into()], vec![5.into()]));
    let key = ["HKEY_LOCAL_MACHINE", "SOFTWARE", "Classes", "MIME", "Database", "Content Type", "application/pdf"];
    assert!(by_name(&list(&mut rig, "registry", &key).await).contains_key("@"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_files_are_uploaded_as_their_data_runs() {
    let mut rig = start(Generated::Windows).await;
    let path = ["\\\\.\\C:", "$Extend", "$UsnJrnl:$J"];
    let components = serde_json::to_string(&path).unwrap();
    let flow = rig.run(DOWNLOAD, &[("Components", &components), ("Accessor", "ntfs")]).await;
    let uploads = rig.typed_table(&flow.session_id, "uploads").await;
    assert_eq!(column(&uploads, "uploaded_size")[0], 32 << 20);
    assert_eq!(column(&uploads, "file_size")[0], 8u64 << 30);
    let store = rig.store_path(&flow.session_id, "ntfs", &path);
    assert_eq!(rig.buffer(store.clone(), 1 << 30, 16).await.unwrap(), [0; 16]);
    let tail = rig.buffer(store, (8 << 30) - 16, 64).await.unwrap();
    assert!(tail.len() == 16 && tail != [0; 16]);
}

#[tokio::test(flavor = "multi_thread")]
async fn linux_has_special_files_links_and_proc_files_of_size_zero_with_content() {
    let mut rig = start(Generated::Linux).await;
    let bin = by_name(&list(&mut rig, "auto", &["usr", "bin"]).await);
    assert_eq!((&bin["sudo"]["Mode"], &bin["wall"]["Mode"]), (&"urwxr-xr-x".into(), &"grwxr-xr-x".into()));
    let dev = by_name(&list(&mut rig, "auto", &["dev"]).await);
    assert_eq!((&dev["null"]["Mode"], &dev["sda"]["Mode"]), (&"Dcrw-rw-rw-".into(), &"Drw-rw----".into()));
    assert_eq!(dev["null"]["_Data"]["FSType"], "devtmpfs");
    let loops = by_name(&list(&mut rig, "auto", &["srv", "loops"]).await);
    assert_eq!(loops["a"]["_Data"]["Link"], "b");
    let through = list(&mut rig, "auto", &["srv", "loops", "to-directory"]).await;
    assert_eq!(through.total_rows, 40);
    assert_eq!(rows(&through)[0][1][2], "to-directory");
    assert_eq!(list(&mut rig, "auto", &["srv", "loops", "a"]).await.total_rows, -1);
    let flow = rig.run(DOWNLOAD, &[("Components", r#"["proc","cpuinfo"]"#), ("Accessor", "auto")]).await;
    let uploads = rig.typed_table(&flow.session_id, "uploads").await;
    assert_eq!(column(&uploads, "file_size")[0], 0);
    assert!(column(&uploads, "uploaded_size")[0].as_u64().unwrap() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_a_hundred_thousand_entries_lists_completely() {
    let mut rig = start(Generated::Linux).await;
    let flow = rig.run(LIST, &[("Components", r#"["srv","huge"]"#), ("Accessor", "auto"), ("Depth", "0")]).await;
    let table = rig.table(&flow.session_id, LISTING).await;
    let names: std::collections::BTreeSet<String> = column(&table, "Name").iter().map(ToString::to_string).collect();
    assert_eq!((table.total_rows, names.len()), (100_000, 100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_gibibytes_cost_no_disk_and_read_the_same_each_time() {
    let mut rig = start(Generated::Linux).await;
    let path = ["srv", "images", "disk-10g.img"];
    let mut request = crate::rig::collection(
        &rig.client_id,
        DOWNLOAD,
        &[("Components", r#"["srv","images","disk-10g.img"]"#), ("Accessor", "auto")],
    );
    request.max_upload_bytes = 20 << 30;
    let flow_id = rig.api.collect_artifact(request).await.unwrap().into_inner().flow_id;
    let flow = rig.wait(&flow_id).await;
    assert_eq!((flow.state(), flow.total_uploaded_bytes), (State::Finished, 10 << 30));
    let store = rig.store_path(&flow_id, "auto", &path);
    let first = rig.buffer(store.clone(), 9 << 30, 4096).await.unwrap();
    let second = rig.buffer(store.clone(), (9 << 30) + 100, 100).await.unwrap();
    assert_eq!((first.len(), &first[100..200]), (4096, second.as_slice()));
    assert!(rig.buffer(store, 10 << 30, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_generated_endpoint_was_visited_before() {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::new(state.path());
    config.timing = Timing::instant();
    config.endpoints = vec![EndpointConfig::generated("laptop", Generated::Windows).offline()];
    let simulator = Simulator::start(config).await.unwrap();
    let mut api = connect(simulator.api_config()).await;
    let client_id = simulator.clients()[0].client_id.clone();
    assert!(!simulator.clients()[0].online);
    let request = velociraptor_proto::proto::GetTableRequest {
        client_id: client_id.clone(),
        ..velociraptor_proto::proto::GetTableRequest::default()
    };
    let flows = api.get_client_flows(request).await.unwrap().into_inner();
    assert!(flows.total_rows > 8);
    assert!(column(&flows, "State").iter().all(|state| state == "FINISHED"));
    assert!(column(&flows, "Creator").iter().all(|creator| creator == "analyst"));
    let ids: Vec<String> = column(&flows, "FlowId").iter().map(ToString::to_string).collect();
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    let stat = velociraptor_proto::proto::VfsListRequest {
        client_id,
        vfs_components: ["auto", "C:", "Users"].map(String::from).to_vec(),
        ..velociraptor_proto::proto::VfsListRequest::default()
    };
    assert!(api.vfs_stat_directory(stat).await.unwrap().into_inner().total_rows > 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_not_utf8_can_be_seen_but_not_addressed() {
    let mut rig = start(Generated::Linux).await;
    let table = list(&mut rig, "auto", &["srv", "odd"]).await;
    let names: Vec<String> = column(&table, "Name").iter().map(|name| name.as_str().unwrap().to_string()).collect();
    assert_eq!(names.iter().filter(|name| *name == "fffd-\u{fffd}.txt").count(), 2);
    let path = serde_json::to_string(&["srv", "odd", "fffd-\u{fffd}.txt"]).unwrap();
    let flow = rig.run(DOWNLOAD, &[("Components", &path), ("Accessor", "auto")]).await;
    assert_eq!(flow.total_collected_rows, 0);
    for name in names.iter().filter(|name| !name.contains('\u{fffd}') && !name.ends_with("dir")) {
        let path = serde_json::to_string(&["srv", "odd", name]).unwrap();
        let flow = rig.run(DOWNLOAD, &[("Components", &path), ("Accessor", "auto")]).await;
        assert_eq!(flow.total_uploaded_files, 1, "{name:?}");
    }
}
