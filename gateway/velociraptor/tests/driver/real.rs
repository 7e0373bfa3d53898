//! The whole driver against a real server and client, if the binary is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use raptorgate_velociraptor::{ApiConfig, Driver, GuiConfig, GuiLogin, Options};
use tokio::time::Instant;
use vfs::backend::{Backend as _, Cause, EndpointChange, Failure, Listed, Outcome, Work};
use vfs::{EndpointId, EndpointPath, ErrorKind, FileType, System};

use crate::rig::{PASSWORD, Rig, binary};
use crate::support::{
    Way, assert_equals_disk, assert_ranges, delivery, jobs, noise, path, read_all, run, show_log, submit, uploads, wait,
};

fn driver(rig: &Rig, way: Way, user: &str) -> Driver {
    let options = Options { poll_clients: Duration::from_millis(500), ..Options::default() };
    match way {
        Way::Grpc => Driver::connect(&rig.api_config(user), options).unwrap(),
        Way::Gui => Driver::connect_gui(&rig.gui_config(user, PASSWORD), options).unwrap(),
    }
}

async fn until_reachable(driver: &Driver) {
    for _ in 0..120 {
        if driver.check().await.reachable {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("the server does not come up: {}", driver.check().await);
}

async fn first_endpoint(driver: &Driver) -> EndpointId {
    let mut changes = driver.endpoints();
    let find = async {
        loop {
            if let EndpointChange::Present(endpoint) = changes.next().await.unwrap()
                && endpoint.system == System::Linux
            {
                break endpoint.id;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), find).await.expect("the client enrols")
}

fn small_tree(root: &Path) -> PathBuf {
    let small = root.join("evidence/small");
    fs::create_dir_all(&small).unwrap();
    fs::create_dir(small.join("directory")).unwrap();
    fs::create_dir(small.join("empty")).unwrap();
    fs::write(small.join("a.txt"), "hello").unwrap();
    for name in
        ["quote\"d", "back\\slash", "new\nline", " space ", "dot.", "...", "C:", "ünï", "123", "true", "{json}", "%41"]
    {
        fs::write(small.join(name), name).unwrap();
    }
    fs::write(small.join("n".repeat(255)), "long").unwrap();
    std::os::unix::fs::symlink("../../nowhere", small.join("link")).unwrap();
    fs::write(small.join("directory/inner"), "x").unwrap();
    small
}

/// A tree of `directories` directories, and all directories of it.
fn deep_tree(root: &Path, directories: usize, files: usize) -> (PathBuf, Vec<PathBuf>) {
    let top = root.join("evidence/deep");
    let mut all = vec![top.clone()];
    fs::create_dir_all(&top).unwrap();
    for index in 1..directories {
        let directory = all[index / 4].join(format!("d{index}"));
        fs::create_dir(&directory).unwrap();
        all.push(directory);
    }
    for (index, directory) in all.iter().enumerate() {
        for file in 0..(if index % 7 == 3 { 0 } else { files }) {
            fs::write(directory.join(format!("f{file}")), "").unwrap();
        }
    }
    (top, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_server_through_its_api_port() {
    real_server(Way::Grpc).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_server_through_its_gui() {
    real_server(Way::Gui).await;
}

async fn real_server(way: Way) {
    let Some(binary) = binary() else {
        println!("skipped: no velociraptor binary in VELOCIRAPTOR_BIN or the PATH");
        return;
    };
    show_log();
    let mut rig = Rig::start(binary);
    let gateway = driver(&rig, way, "gateway");
    until_reachable(&gateway).await;
    check_tells_what_is_wrong(&rig, way).await;

    rig.start_client();
    let endpoint = first_endpoint(&gateway).await;
    let presence = gateway.presence(&endpoint).await.unwrap();
    assert!(presence.last_seen.is_some());
    let unknown = EndpointId::root_org("C.0123456789abcdef");
    assert_eq!(gateway.presence(&unknown).await.unwrap_err().kind(), ErrorKind::Invalid);

    let small = small_tree(rig.root());
    listings(&gateway, &endpoint, &small).await;
    deep_listings(&gateway, &endpoint, &rig).await;
    contents(&gateway, &endpoint, &rig).await;
    past_flows(&driver(&rig, way, "reader"), &endpoint, &rig).await;
    lists_of_works(&gateway, &driver(&rig, way, "admin"), &endpoint, &rig, way).await;
    poor_users(&rig, way, &endpoint, &small).await;
    if way == Way::Gui {
        other_organisations(&mut rig, &small).await;
    }
}

async fn other_organisations(rig: &mut Rig, small: &Path) {
    rig.start_client_of_org("OTEST1");
    let gateway = driver(rig, Way::Gui, "gateway");
    let mut changes = gateway.endpoints();
    let find = async {
        loop {
            if let EndpointChange::Present(endpoint) = changes.next().await.unwrap()
                && &*endpoint.id.org == "OTEST1"
                && endpoint.system == System::Linux
            {
                break endpoint.id;
            }
        }
    };
    let endpoint =
        tokio::time::timeout(Duration::from_secs(90), find).await.expect("the client of the organisation enrols");
    println!("an endpoint of another organisation: {endpoint}");
    assert!(endpoint.client_id.ends_with("-OTEST1"));
    assert!(gateway.presence(&endpoint).await.unwrap().last_seen.is_some());
    assert!(gateway.capabilities(&endpoint).await.unwrap().collect);
    let directory = path(&endpoint, "auto", small);
    let seen = run(&gateway, &endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
    assert_equals_disk(&seen.only_listing().rows, small);
    assert_equals_disk(&until_held(&gateway, &directory).await.rows, small);
    let file = directory.child("a.txt").unwrap();
    let seen = run(&gateway, &endpoint, Work::Fetch { files: vec![file] }).await;
    assert_eq!(read_all(&gateway, seen.fetched[0].content.as_ref().unwrap()).await, b"hello");

    let work = Work::List { directory, depth: 0 };
    let plain = driver(rig, Way::Gui, "plain");
    assert!(plain.submit(&endpoint, delivery(vec![work.clone()])).await.is_err(), "no rights there");
    let over_grpc = driver(rig, Way::Grpc, "gateway");
    let refused = over_grpc.submit(&endpoint, delivery(vec![work])).await.unwrap_err();
    assert!(refused.to_string().contains("--gui-url"), "{refused}");
}

async fn check_tells_what_is_wrong(rig: &Rig, way: Way) {
    let report = driver(rig, way, "gateway").check().await;
    assert!(report.is_usable(), "{report}");
    assert_eq!(report.user.as_deref(), Some("gateway"));
    assert!(report.rights.read_results && report.rights.collect_client && report.rights.any_query);
    assert!(report.clock_difference.unwrap().abs() < 5.0, "{report}");
    assert!(report.orgs.iter().any(|org| org.id == "root"), "{report}");
    println!("{report}");
    let reader = driver(rig, way, "reader").check().await;
    assert!(reader.is_usable() && !reader.rights.collect_client, "{reader}");
    match way {
        Way::Grpc => {
            assert!(report.server_version.as_deref().unwrap().starts_with("0."), "{report}");
            check_of_the_api_port(rig).await;
        }
        Way::Gui => check_of_the_gui(rig).await,
    }
}

async fn check_of_the_api_port(rig: &Rig) {
    let report = driver(rig, Way::Grpc, "nobody").check().await;
    assert!(report.reachable && report.problems[0].contains("does not know our user"), "{report}");
    let problem = async |config: &ApiConfig| {
        let report = Driver::connect(config, Options::default()).unwrap().check().await;
        report.problems.first().cloned().unwrap_or_default()
    };
    let good = rig.api_config("gateway");
    let config = ApiConfig { pinned_server_name: "Other".into(), ..good.clone() };
    assert!(problem(&config).await.contains("another name"));
    let config = ApiConfig { ca_certificate: good.client_cert.clone(), ..good.clone() };
    assert!(problem(&config).await.contains("another CA"));
    let config = ApiConfig { api_connection_string: "127.0.0.1:9".into(), ..good };
    assert!(problem(&config).await.contains("nothing listens"));
}

async fn check_of_the_gui(rig: &Rig) {
    let problem = async |config: GuiConfig| {
        let report = Driver::connect_gui(&config, Options::default()).unwrap().check().await;
        println!("{}", report.problems.first().map_or("no problem", String::as_str));
        report.problems.first().cloned().unwrap_or_default()
    };
    assert!(problem(rig.gui_config("gateway", "wrong")).await.contains("password of the user gateway"));
    assert!(problem(rig.gui_config("stranger", PASSWORD)).await.contains("password of the user stranger"));
    assert!(problem(rig.gui_config("powerless", PASSWORD)).await.contains("acl grant powerless"));
    let at = |url: &str, ca: Option<&Path>| {
        let login = GuiLogin { user: Some("gateway".into()), ..GuiLogin::default() };
        GuiConfig::load(url, &login, Some(PASSWORD.into()), ca).unwrap()
    };
    let ca = rig.root().join("ca.pem");
    assert!(problem(at(&rig.gui_url(), None)).await.contains("--gui-ca FILE"));
    assert!(problem(at(&format!("{}velo/", rig.gui_url()), Some(&ca))).await.contains("base path is /;"));
    assert!(problem(at("https://localhost:9/", Some(&ca))).await.contains("nothing listens"));
    let other = rig.root().join("other.pem");
    fs::write(&other, rig.api_config("gateway").client_cert).unwrap();
    assert!(problem(at(&rig.gui_url(), Some(&other))).await.contains("not of the CA"));
}

async fn listings(gateway: &Driver, endpoint: &EndpointId, small: &Path) {
    let directory = path(endpoint, "auto", small);
    assert!(gateway.held(&directory).await.unwrap().is_none(), "never listed");

    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let seen = run(gateway, endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
        times.push(begun.elapsed().as_millis());
        assert!(seen.delivered);
        assert_eq!(seen.complaint(), None);
        let listed = seen.only_listing();
        assert_eq!(listed.directory, directory);
        assert_equals_disk(&listed.rows, small);
        assert_eq!(&*listed.observation.by, "alice");
        assert!(listed.observation.started <= listed.observation.seen);
    }
    println!("one listing, ms: {times:?}");

    let held = until_held(gateway, &directory).await;
    assert_equals_disk(&held.rows, small);
    assert_eq!(&*held.observation.by, "alice", "the principal comes back from the server");

    let empty = run(gateway, endpoint, Work::List { directory: directory.child("empty").unwrap(), depth: 0 }).await;
    assert!(empty.only_listing().rows.is_empty());
    assert_eq!(empty.complaint(), None);

    let missing = directory.child("missing").unwrap();
    let seen = run(gateway, endpoint, Work::List { directory: missing, depth: 0 }).await;
    assert!(seen.listed.is_empty(), "what is missing is not empty");
    let complaint = seen.complaint().expect("a complaint");
    println!("a missing directory: {complaint:?}");
    assert!(matches!(complaint.cause, Cause::Absent | Cause::Unknown));

    let root = path(endpoint, "auto", Path::new("/"));
    let seen = run(gateway, endpoint, Work::List { directory: root, depth: 0 }).await;
    let rows = &seen.only_listing().rows;
    assert!(rows.iter().any(|row| row.name() == "etc" && row.file_type() == FileType::Directory));

    let virtual_files = path(endpoint, "auto", Path::new("/proc"));
    let seen = run(gateway, endpoint, Work::List { directory: virtual_files, depth: 0 }).await;
    let rows = &seen.only_listing().rows;
    assert!(rows.iter().any(|row| row.name() == "cpuinfo" && row.size_unknown()));

    let works = (0..10).map(|_| Work::List { directory: directory.clone(), depth: 0 }).collect();
    let begun = Instant::now();
    let jobs = gateway.submit(endpoint, delivery(works)).await.unwrap();
    for job in &jobs {
        assert_equals_disk(&wait(gateway, job).await.only_listing().rows, small);
    }
    println!("ten listings at once: {} ms", begun.elapsed().as_millis());

    let unknown = EndpointId::root_org("C.0123456789abcdef");
    let works = vec![Work::List { directory: path(&unknown, "auto", small), depth: 0 }];
    assert_eq!(gateway.submit(&unknown, delivery(works)).await.unwrap_err().kind(), ErrorKind::Invalid);
}

/// The server writes the record of a directory a moment after the flow is over (§4.4).
async fn until_held(gateway: &Driver, directory: &EndpointPath) -> Listed {
    let begun = Instant::now();
    loop {
        if let Some(held) = gateway.held(directory).await.unwrap() {
            println!("held after {} ms", begun.elapsed().as_millis());
            return held;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the server keeps the listing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn deep_listings(gateway: &Driver, endpoint: &EndpointId, rig: &Rig) {
    let (top, all) = deep_tree(rig.root(), 1_000, 20);
    let begun = Instant::now();
    let seen = run(gateway, endpoint, Work::List { directory: path(endpoint, "auto", &top), depth: 20 }).await;
    println!(
        "a deep listing: {} directories, {} rows, {} before the end, {} ms",
        seen.listed.len(),
        seen.listed.iter().map(|listed| listed.rows.len()).sum::<usize>(),
        seen.early,
        begun.elapsed().as_millis()
    );
    assert_eq!(seen.complaint(), None);
    let listed: BTreeMap<_, _> = seen.listed.iter().map(|listed| (listed.directory.clone(), &listed.rows)).collect();
    assert_eq!(listed.len(), all.len());
    for directory in &all {
        assert_equals_disk(listed[&path(endpoint, "auto", directory)], directory);
    }

    let seen = run(gateway, endpoint, Work::List { directory: path(endpoint, "auto", &top), depth: 1 }).await;
    let below = fs::read_dir(&top).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(seen.listed.len(), 1 + below);

    let big = rig.root().join("evidence/big");
    fs::create_dir(&big).unwrap();
    for index in 0..20_000 {
        fs::write(big.join(format!("file_{index:06}.log")), "").unwrap();
    }
    let begun = Instant::now();
    let seen = run(gateway, endpoint, Work::List { directory: path(endpoint, "auto", &big), depth: 0 }).await;
    println!("20,000 entries: {} ms, progress {:?}", begun.elapsed().as_millis(), seen.progress);
    assert_equals_disk(&seen.only_listing().rows, &big);
}

async fn contents(gateway: &Driver, endpoint: &EndpointId, rig: &Rig) {
    let files = rig.root().join("evidence/files");
    fs::create_dir(&files).unwrap();
    let directory = path(endpoint, "auto", &files);
    let contents = [("small.bin", noise(1, 1_000)), ("ten.bin", noise(2, 10 << 20)), ("empty.bin", Vec::new())];
    for (name, content) in &contents {
        fs::write(files.join(name), content).unwrap();
        let file = directory.child(name).unwrap();
        let begun = Instant::now();
        let seen = run(gateway, endpoint, Work::Fetch { files: vec![file.clone()] }).await;
        println!("{name}: {} ms", begun.elapsed().as_millis());
        assert_eq!(seen.fetched.len(), 1);
        assert_eq!(seen.fetched[0].file, file);
        let fetched = seen.fetched[0].content.as_ref().unwrap();
        assert_eq!(fetched.size, content.len() as u64);
        assert_eq!(&read_all(gateway, fetched).await, content);
        if content.len() > 5_000 {
            let part = gateway.read(&fetched.location, 4_567, 1_234).await.unwrap();
            assert_eq!(&part[..], &content[4_567..5_801]);
        }
    }
    let missing = run(gateway, endpoint, Work::Fetch { files: vec![directory.child("missing").unwrap()] }).await;
    assert_eq!(missing.fetched[0].content.as_ref().unwrap_err().cause, Cause::Unknown);
    let not_a_file = run(gateway, endpoint, Work::Fetch { files: vec![directory.clone()] }).await;
    assert_eq!(not_a_file.fetched[0].content.as_ref().unwrap_err().cause, Cause::Unsupported);
    let virtual_file = path(endpoint, "auto", Path::new("/proc/version"));
    let seen = run(gateway, endpoint, Work::Fetch { files: vec![virtual_file] }).await;
    let fetched = seen.fetched[0].content.as_ref().unwrap();
    assert_eq!(read_all(gateway, fetched).await, fs::read("/proc/version").unwrap());

    let mut too_much = delivery(vec![Work::Fetch { files: vec![directory.child("ten.bin").unwrap()] }]);
    too_much.limits.max_upload_bytes = 3 << 20;
    let job = gateway.submit(endpoint, too_much).await.unwrap().remove(0);
    let seen = wait(gateway, &job).await;
    assert_eq!(seen.failure(), Failure::Limit);
    assert!(seen.fetched.is_empty(), "a part of a file is no file");

    run(gateway, endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
    let held = until_held(gateway, &directory).await;
    let collected: BTreeMap<_, _> =
        held.collected.iter().map(|(ordinal, fetched)| (held.rows.row(*ordinal).unwrap().name(), fetched)).collect();
    assert_eq!(collected.len(), contents.len(), "{collected:?}");
    for (name, content) in &contents {
        assert_eq!(&read_all(gateway, collected[name].content.as_ref().unwrap()).await, content);
    }
    let location = collected["small.bin"].content.as_ref().unwrap().location.clone();
    let mut nowhere = location;
    *nowhere.components.last_mut().unwrap() = "never collected".into();
    assert_eq!(gateway.read(&nowhere, 0, 10).await.unwrap_err().kind(), ErrorKind::Absent);
}

/// READ_RESULTS is enough to see what all flows so far have uploaded.
async fn past_flows(reader: &Driver, endpoint: &EndpointId, rig: &Rig) {
    let begun = Instant::now();
    let all = jobs(reader, endpoint).await;
    println!("{} flows: {} ms", all.len(), begun.elapsed().as_millis());
    assert!(all.iter().all(|job| job.ended.is_some_and(|ended| ended >= job.started) && !job.named.is_empty()));
    assert!(all.iter().any(|job| job.files == 0), "listings upload nothing");
    let broken = all.iter().find(|job| job.failed.is_some()).expect("the flow that was too large");
    assert!(broken.failed.as_deref().unwrap().contains("exceeded limit") && broken.files > 0, "{broken:?}");
    assert!(uploads(reader, endpoint, &broken.id).await.is_empty(), "a part of a file is no file");
    let mut read = Vec::new();
    for job in all.iter().filter(|job| job.files > 0 && job.failed.is_none()) {
        assert_eq!(&*job.by, "gateway", "the server's own word for who started it");
        for upload in uploads(reader, endpoint, &job.id).await {
            let on_disk = PathBuf::from_iter(std::iter::once("/").chain(upload.components.iter().map(String::as_str)));
            assert_eq!(upload.accessor, "auto");
            assert_eq!(read_all(reader, &upload.content).await, fs::read(&on_disk).unwrap(), "{on_disk:?}");
            read.push(on_disk.strip_prefix(rig.root()).unwrap_or(&on_disk).display().to_string());
        }
    }
    read.sort();
    read.dedup();
    let files = ["/proc/version", "evidence/files/empty.bin", "evidence/files/small.bin", "evidence/files/ten.bin"];
    assert_eq!(read, files);
    assert!(jobs(reader, &EndpointId::root_org("C.0123456789abcdef")).await.is_empty());
}

async fn lists_of_works(gateway: &Driver, admin: &Driver, endpoint: &EndpointId, rig: &Rig, way: Way) {
    let capabilities = gateway.capabilities(endpoint).await.unwrap();
    assert!(capabilities.collect && !capabilities.list_many && !capabilities.fetch_many && !capabilities.ranges);
    assert_eq!(gateway.install_artifacts().await.unwrap_err().kind(), ErrorKind::Denied);
    admin.install_artifacts().await.unwrap();
    let capabilities = admin.capabilities(endpoint).await.unwrap();
    assert!(capabilities.list_many && capabilities.fetch_many && capabilities.ranges);

    let top = rig.root().join("evidence");
    let directories = ["small", "small/empty", "missing", "files"].map(|name| path(endpoint, "auto", &top.join(name)));
    let seen = run(gateway, endpoint, Work::ListMany { directories: directories.to_vec() }).await;
    assert_eq!(seen.listed.len(), 3);
    for listed in &seen.listed {
        let on_disk =
            PathBuf::from_iter(std::iter::once("/").chain(listed.directory.components.iter().map(AsRef::as_ref)));
        assert_equals_disk(&listed.rows, &on_disk);
    }
    println!("one missing of four: {:?}", seen.complaint());
    assert!(seen.complaint().is_some());

    let files = ["ten.bin", "missing", "small.bin"].map(|name| path(endpoint, "auto", &top.join("files").join(name)));
    // What the server can do is asked once a minute.
    let seen = run(&driver(rig, way, "gateway"), endpoint, Work::Fetch { files: files.to_vec() }).await;
    assert_eq!(seen.fetched.len(), 3);
    for (fetched, name) in seen.fetched.iter().zip(["ten.bin", "missing", "small.bin"]) {
        assert_eq!(fetched.file.name(), Some(name));
        if name == "missing" {
            assert!(fetched.content.is_err());
            continue;
        }
        let content = fetched.content.as_ref().unwrap();
        assert_eq!(read_all(gateway, content).await, fs::read(top.join("files").join(name)).unwrap());
        assert_eq!(content.sha256_endpoint.as_ref().unwrap().len(), 64);
    }

    let ranges = vec![(0, 100), (5 << 20, 1 << 20), ((10 << 20) - 10, 100)];
    let seen = run(gateway, endpoint, Work::Ranges { file: files[0].clone(), ranges: ranges.clone() }).await;
    assert_eq!(seen.fetched.len(), 3);
    let whole = fs::read(top.join("files/ten.bin")).unwrap();
    for ((offset, length), fetched) in ranges.into_iter().zip(&seen.fetched) {
        let bytes = read_all(gateway, fetched.content.as_ref().unwrap()).await;
        let start = usize::try_from(offset).unwrap();
        let end = whole.len().min(start + usize::try_from(length).unwrap());
        assert_eq!(bytes, whole[start..end], "range at {offset}");
    }
    assert_ranges(&seen, &top.join("files/ten.bin"), &[(0, 100), (5 << 20, 1 << 20), ((10 << 20) - 10, 100)]);
    let missing = Work::Ranges { file: files[1].clone(), ranges: vec![(0, 10)] };
    let seen = run(gateway, endpoint, missing).await;
    assert!(seen.fetched[0].content.is_err() && seen.fetched[0].range.is_none());
}

async fn poor_users(rig: &Rig, way: Way, endpoint: &EndpointId, small: &Path) {
    let directory = path(endpoint, "auto", small);
    let work = Work::List { directory: directory.clone(), depth: 0 };
    let reader = driver(rig, way, "reader");
    assert_eq!(reader.submit(endpoint, delivery(vec![work.clone()])).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_equals_disk(&reader.held(&directory).await.unwrap().unwrap().rows, small);

    let plain = driver(rig, way, "plain");
    let begun = Instant::now();
    let job = submit(&plain, endpoint, work.clone()).await;
    let (first, second) = tokio::join!(wait(&plain, &job), wait(&plain, &job));
    println!("one listing by polling: {} ms", begun.elapsed().as_millis());
    for seen in [&first, &second] {
        assert_equals_disk(&seen.only_listing().rows, small);
    }

    // A process that starts later sees the same.
    let later = driver(rig, way, "plain");
    let seen = wait(&later, &job).await;
    assert_equals_disk(&seen.only_listing().rows, small);
    assert_eq!(&*seen.only_listing().observation.by, "alice");

    // Taken back.
    let job =
        submit(&plain, endpoint, Work::List { directory: path(endpoint, "auto", Path::new("/usr")), depth: 9 }).await;
    plain.cancel(&job).await.unwrap();
    plain.cancel(&job).await.unwrap();
    let seen = wait(&plain, &job).await;
    println!("a cancelled listing: {:?}", seen.outcome);
    assert!(matches!(seen.outcome, Some(Outcome::Failed { failure: Failure::Cancelled, .. })), "{:?}", seen.outcome);
}
