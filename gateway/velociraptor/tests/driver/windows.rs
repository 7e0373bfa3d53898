//! What only Windows endpoints have, against the simulated server: registry values, volumes, the fallback to raw NTFS.

use std::collections::BTreeMap;

use raptorgate_velociraptor::{ApiConfig, Driver, Options};
use simulator::{Config, EndpointConfig, Generated, Simulator, Timing};
use vfs::backend::Work;
use vfs::{EndpointId, EndpointPath, FileType};

use crate::support::{read_all, run, show_log};

async fn start() -> (Simulator, Driver, EndpointId, tempfile::TempDir) {
    show_log();
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::new(state.path());
    config.timing = Timing::instant();
    config.endpoints = vec![EndpointConfig::generated("desk-042", Generated::Windows)];
    let simulator = Simulator::start(config).await.unwrap();
    let driver = Driver::connect(&ApiConfig::load(simulator.api_config()).unwrap(), Options::default()).unwrap();
    let endpoint = EndpointId::root_org(simulator.clients()[0].client_id.as_str());
    (simulator, driver, endpoint, state)
}

fn at(endpoint: &EndpointId, accessor: &str, components: &[&str]) -> EndpointPath {
    let root = EndpointPath::accessor_root(endpoint.clone(), accessor);
    components.iter().fold(root, |path, name| path.child(name).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_values_are_read_without_collecting_them() {
    let (_simulator, driver, endpoint, _state) = start().await;
    let key = at(&endpoint, "registry", &["HKEY_LOCAL_MACHINE", "SYSTEM", "Types"]);
    let seen = run(&driver, &endpoint, Work::List { directory: key.clone(), depth: 0 }).await;
    let listed = seen.only_listing();
    let values: BTreeMap<&str, Option<&[u8]>> = listed.rows.iter().map(|row| (row.name(), row.inline())).collect();
    assert_eq!(values["dword"], Some(&b"4294967295\n"[..]));
    assert_eq!(values["binary"], Some(&[0, 1, 2, 253, 254, 255][..]));
    assert_eq!(values["text"], Some("café".as_bytes()));
    assert_eq!(values["empty"], Some(&b""[..]));
    assert_eq!(values["large"], None, "from 4 KiB on the listing does not carry them");
    for row in listed.rows.iter().filter(|row| row.inline().is_some()) {
        assert_eq!(row.size(), row.inline().unwrap().len() as u64, "{}", row.name());
    }
    // What the listing carried is what reading the value gives, except for numbers, which have no bytes of their own.
    for name in ["@", "text", "expand", "multi", "binary", "a/b\\c"] {
        let seen = run(&driver, &endpoint, Work::Fetch { files: vec![key.child(name).unwrap()] }).await;
        let content = seen.fetched[0].content.as_ref().unwrap();
        assert_eq!(Some(&read_all(&driver, content).await[..]), values[name], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_are_addressed_by_their_device_and_shown_by_their_letter() {
    let (_simulator, driver, endpoint, _state) = start().await;
    let root = at(&endpoint, "ntfs", &[]);
    let seen = run(&driver, &endpoint, Work::List { directory: root.clone(), depth: 0 }).await;
    let rows = &seen.only_listing().rows;
    let shown: BTreeMap<&str, &str> = rows.iter().map(|row| (row.shown(), row.name())).collect();
    assert_eq!(shown["C:"], r"\\.\C:");
    assert!(shown.keys().any(|name| name.starts_with("VSS")), "{shown:?}");
    for name in shown.values() {
        let volume = root.child(name).unwrap();
        let seen = run(&driver, &endpoint, Work::List { directory: volume, depth: 0 }).await;
        assert!(!seen.only_listing().rows.is_empty(), "{name}");
    }
    let raw = at(&endpoint, "ntfs", &[r"\\.\C:"]);
    let seen = run(&driver, &endpoint, Work::List { directory: raw, depth: 0 }).await;
    assert!(seen.only_listing().rows.iter().any(|row| row.name() == "$MFT"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_raw_ntfs_can_read_stands_where_it_was_asked_for() {
    let (_simulator, driver, endpoint, _state) = start().await;
    let drive = at(&endpoint, "auto", &["C:"]);
    let seen = run(&driver, &endpoint, Work::List { directory: drive.clone(), depth: 1 }).await;
    let listed: BTreeMap<_, _> = seen.listed.iter().map(|listed| (listed.directory.clone(), &listed.rows)).collect();
    let directories = listed[&drive].iter().filter(|row| row.file_type() == FileType::Directory).count();
    assert!(directories > 3);
    let denied = drive.child("System Volume Information").unwrap();
    assert!(!listed[&denied].is_empty(), "the endpoint names its children by the device");
    for (directory, rows) in &listed {
        let alone = run(&driver, &endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
        let alone = &alone.only_listing().rows;
        let names = |rows: &vfs::snapshot::Rows| rows.iter().map(|row| row.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(rows), names(alone), "{directory}");
    }
    assert_eq!(listed.len(), 1 + directories, "{:?}", seen.outcome);
}
