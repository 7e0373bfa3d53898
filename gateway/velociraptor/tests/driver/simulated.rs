//! The whole driver against the simulated server: what a real one does only now and then, on demand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use raptorgate_velociraptor::Driver;
use simulator::{Config, EndpointConfig, GuiLogin, Handle, Permissions, Simulator, Timing};
use vfs::backend::{Backend as _, Cause, Failure, JobEvent, Outcome, Work};
use vfs::{EndpointId, ErrorKind};

use crate::gui::{connect, gui};
use crate::support::{
    Way, assert_equals_disk, assert_ranges, jobs, noise, path, read_all, run, show_log, submit, uploads, wait,
};

struct Rig {
    simulator: Simulator,
    handle: Handle,
    way: Way,
    driver: Driver,
    endpoint: EndpointId,
    root: tempfile::TempDir,
    _state: tempfile::TempDir,
}

impl Rig {
    async fn start(way: Way, timing: Timing) -> Rig {
        show_log();
        let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut config = Config::new(state.path());
        config.timing = timing;
        config.gui = (way == Way::Gui).then(|| gui(GuiLogin::Basic));
        config.endpoints = vec![EndpointConfig::directory("host1", root.path())];
        let simulator = Simulator::start(config).await.unwrap();
        let driver = connect(&simulator, way, "raptorgate", simulator.api_config());
        let endpoint = EndpointId::root_org(simulator.clients()[0].client_id.as_str());
        Rig { handle: simulator.handle(), simulator, way, driver, endpoint, root, _state: state }
    }

    /// A driver of its own for a user with these rights.
    fn user(&self, name: &str, permissions: Permissions) -> Driver {
        let file = self.simulator.add_api_user(name, permissions).unwrap();
        connect(&self.simulator, self.way, name, &file)
    }

    /// A driver that has asked nothing yet.
    fn another(&self) -> Driver {
        connect(&self.simulator, self.way, "raptorgate", self.simulator.api_config())
    }

    /// A directory on the endpoint's disk and its path there: the endpoint shows `root` as `/`.
    fn directory(&self, name: &str) -> (PathBuf, vfs::EndpointPath) {
        let on_disk = self.root.path().join(name);
        fs::create_dir_all(&on_disk).unwrap();
        (on_disk, path(&self.endpoint, "auto", Path::new(name)))
    }

    async fn list(&self, directory: &vfs::EndpointPath, depth: u32) -> crate::support::Seen {
        run(&self.driver, &self.endpoint, Work::List { directory: directory.clone(), depth }).await
    }
}

fn fill(directory: &Path, files: usize) {
    for index in 0..files {
        fs::write(directory.join(format!("file_{index:06}")), "").unwrap();
    }
}

/// Proves each sentence over both ways to the server.
macro_rules! both_ways {
    ($($sentence:ident,)*) => {
        mod over_grpc {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence(crate::support::Way::Grpc).await;
            })*
        }
        mod through_the_gui {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence(crate::support::Way::Gui).await;
            })*
        }
    };
}

both_ways! {
    a_directory_and_a_file_come_as_they_are,
    a_failed_refresh_leaves_the_servers_good_listing_alone,
    old_servers_and_odd_rows_are_understood,
    a_big_directory_comes_in_pages_that_fit,
    a_deep_listing_equals_the_disk,
    lost_and_failed_flows_are_told_apart,
    an_endpoint_that_is_away_gets_its_work_when_it_is_back,
    a_server_that_restarts_is_waited_for,
    lists_of_works_need_our_artifacts_and_then_are_one_flow,
    directories_of_a_long_flow_are_told_while_it_runs,
    flows_of_others_and_their_uploads_are_read_without_the_endpoint,
}

async fn flows_of_others_and_their_uploads_are_read_without_the_endpoint(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    let contents = [("a", noise(1, 1_500_000)), ("empty", Vec::new()), ("quote\"d ünï", noise(2, 10))];
    for (name, content) in &contents {
        fs::write(on_disk.join(name), content).unwrap();
    }
    let reader = rig.user("reader", Permissions { read_results: true, ..Permissions::none() });
    assert!(jobs(&reader, &rig.endpoint).await.is_empty(), "no flows yet");
    let unknown = EndpointId::root_org("C.0123456789abcdef");
    assert!(jobs(&reader, &unknown).await.is_empty());
    let flow = rig.handle.download(&rig.endpoint.client_id, &["evidence".to_owned()]).unwrap();
    let listing = rig.list(&directory, 0).await.only_listing().observation.job.clone();
    while !rig.handle.has_ended(&rig.endpoint.client_id, &flow).unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.handle.set_online(&rig.endpoint.client_id, false).unwrap();
    let waiting = submit(&rig.driver, &rig.endpoint, Work::List { directory, depth: 0 }).await;
    let flows = rig.handle.counters().all_flows();

    let all = jobs(&reader, &rig.endpoint).await;
    let one = |id: &str| all.iter().find(|job| &*job.id == id).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!((one(&waiting.id).ended, one(&listing).files), (None, 0));
    let job = one(&flow);
    assert_eq!((job.files, job.bytes, &*job.by, job.failed.as_deref()), (3, 1_500_010, "colleague", None));
    assert!(job.ended.unwrap() >= job.started && job.named.len() == 1);
    let read = uploads(&reader, &rig.endpoint, &flow).await;
    assert_eq!(read.len(), 3);
    for (upload, (name, content)) in read.iter().zip(&contents) {
        assert_eq!(
            (upload.accessor.as_str(), &upload.components[..]),
            ("auto", &["evidence".into(), (*name).into()][..])
        );
        assert_eq!((upload.opened_size, upload.content.sparse), (content.len() as u64, false));
        assert_eq!(&read_all(&reader, &upload.content).await, content);
    }
    assert!(uploads(&reader, &rig.endpoint, &listing).await.is_empty());
    assert_eq!(rig.handle.counters().all_flows(), flows, "nothing was started");

    rig.handle.limit_messages(Some(1_500));
    assert_eq!(jobs(&reader, &rig.endpoint).await, all, "in pages that fit");
    rig.handle.limit_messages(None);
    let nobody = rig.user("powerless", Permissions::none());
    assert!(nobody.jobs(&rig.endpoint).next().await.unwrap().is_err(), "no right is not no flows");
}

async fn a_directory_and_a_file_come_as_they_are(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    for name in ["a", "quote\"d", "new\nline", " space ", "ünï", "true", "{json}"] {
        fs::write(on_disk.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("a", on_disk.join("link")).unwrap();
    let content = noise(3, 3_000_000);
    fs::write(on_disk.join("content"), &content).unwrap();
    assert!(rig.driver.check().await.is_usable());
    let seen = rig.list(&directory, 0).await;
    assert_eq!(seen.complaint(), None);
    assert_equals_disk(&seen.only_listing().rows, &on_disk);
    rig.handle.short_reads(true);
    let seen = run(&rig.driver, &rig.endpoint, Work::Fetch { files: vec![directory.child("content").unwrap()] }).await;
    assert_eq!(read_all(&rig.driver, seen.fetched[0].content.as_ref().unwrap()).await, content);
    let missing = rig.list(&directory.child("missing").unwrap(), 0).await;
    assert!(missing.listed.is_empty());
    assert!(matches!(missing.complaint().unwrap().cause, Cause::Absent | Cause::Unknown));
}

async fn a_failed_refresh_leaves_the_servers_good_listing_alone(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    fill(&on_disk, 3);
    rig.list(&directory, 0).await;
    let held = async || {
        for _ in 0..100 {
            if let Some(held) = rig.driver.held(&directory).await.unwrap() {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server holds the listing");
    };
    assert_eq!(held().await.rows.len(), 3);
    fs::remove_dir_all(&on_disk).unwrap();
    assert!(rig.list(&directory, 0).await.listed.is_empty());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(held().await.rows.len(), 3);
}

async fn old_servers_and_odd_rows_are_understood(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    fill(&on_disk, 30);
    fs::write(on_disk.join("123"), "").unwrap();
    fs::write(on_disk.join(" leading"), "").unwrap();
    rig.handle.old_rows(true);
    assert_equals_disk(&rig.list(&directory, 0).await.only_listing().rows, &on_disk);
    rig.handle.old_rows(false);
    rig.handle.uneven_columns(true);
    assert_equals_disk(&rig.list(&directory, 0).await.only_listing().rows, &on_disk);
    rig.handle.uneven_columns(false);
    rig.handle.nameless_rows(true);
    assert_equals_disk(&rig.list(&directory, 0).await.only_listing().rows, &on_disk);
    let held = rig.driver.held(&directory).await.unwrap().unwrap();
    assert_equals_disk(&held.rows, &on_disk);
}

async fn a_big_directory_comes_in_pages_that_fit(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    fill(&on_disk, 12_345);
    rig.handle.limit_messages(Some(300_000));
    assert_equals_disk(&rig.list(&directory, 0).await.only_listing().rows, &on_disk);
}

async fn a_deep_listing_equals_the_disk(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (top, directory) = rig.directory("evidence");
    let mut all = vec![top.clone()];
    for index in 1..200 {
        let below = all[index / 3].join(format!("d{index}"));
        fs::create_dir(&below).unwrap();
        fill(&below, index % 4);
        all.push(below);
    }
    let seen = rig.list(&directory, 50).await;
    assert_eq!(seen.complaint(), None);
    assert_eq!(seen.listed.len(), all.len());
    for listed in &seen.listed {
        let relative = PathBuf::from_iter(listed.directory.components.iter().map(AsRef::as_ref));
        assert_equals_disk(&listed.rows, &rig.root.path().join(relative));
    }
}

async fn lost_and_failed_flows_are_told_apart(way: Way) {
    let soon = Duration::from_millis(100);
    let rig = Rig::start(way, Timing { lost_after: soon, lost_spread: soon, ..Timing::instant() }).await;
    let (_, directory) = rig.directory("evidence");
    rig.handle.fail_next_flows(1, "Query timed out after 600 seconds");
    assert_eq!(rig.list(&directory, 0).await.failure(), Failure::Limit);
    rig.handle.lose_next_flows(1);
    assert_eq!(rig.list(&directory, 0).await.failure(), Failure::Lost);
    rig.handle.stall_next_flows(1);
    let job = submit(&rig.driver, &rig.endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
    let mut events = rig.driver.watch(&job);
    assert!(matches!(events.next().await, Some(JobEvent::Delivered)));
    rig.driver.cancel(&job).await.unwrap();
    let seen = wait(&rig.driver, &job).await;
    assert_eq!(seen.failure(), Failure::Cancelled);
}

async fn an_endpoint_that_is_away_gets_its_work_when_it_is_back(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    fill(&on_disk, 3);
    rig.handle.set_online(&rig.endpoint.client_id, false).unwrap();
    let job = submit(&rig.driver, &rig.endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
    let mut events = rig.driver.watch(&job);
    assert!(tokio::time::timeout(Duration::from_millis(1_500), events.next()).await.is_err(), "queued");
    rig.handle.set_online(&rig.endpoint.client_id, true).unwrap();
    let seen = wait(&rig.driver, &job).await;
    assert_eq!(seen.only_listing().rows.len(), 3);
    let everything: Vec<_> = events.collect().await;
    assert!(matches!(everything.last(), Some(JobEvent::Ended(Outcome::Finished { complaint: None }))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_save_asking_and_losing_them_costs_only_time() {
    let rig = Rig::start(Way::Grpc, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    fill(&on_disk, 3);
    rig.list(&directory, 0).await;
    let before = rig.handle.counters();
    let begun = tokio::time::Instant::now();
    for _ in 0..10 {
        rig.list(&directory, 0).await;
    }
    println!("one listing of an instant endpoint: {} µs", begun.elapsed().as_micros() / 10);
    let calls = |name| rig.handle.counters().calls_of(name) - before.calls_of(name);
    assert_eq!(calls("CollectArtifact"), 10);
    assert_eq!(calls("GetTable"), 20, "rows and statistics, once each");
    assert!(calls("GetFlowDetails") <= 10, "{}", calls("GetFlowDetails"));
    rig.handle.drop_event_streams();
    assert_eq!(rig.list(&directory, 0).await.only_listing().rows.len(), 3);
    let plain = rig.user("plain", Permissions { any_query: false, ..Permissions::investigator() });
    let seen = run(&plain, &rig.endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
    assert_eq!(seen.only_listing().rows.len(), 3);
}

async fn a_server_that_restarts_is_waited_for(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    fill(&on_disk, 3);
    rig.handle.set_online(&rig.endpoint.client_id, false).unwrap();
    let job = submit(&rig.driver, &rig.endpoint, Work::List { directory: directory.clone(), depth: 0 }).await;
    let restart = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rig.handle.restart_server(Duration::from_millis(800));
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        rig.handle.set_online(&rig.endpoint.client_id, true).unwrap();
    };
    let (seen, ()) = tokio::join!(wait(&rig.driver, &job), restart);
    assert_eq!(seen.only_listing().rows.len(), 3);
}

async fn lists_of_works_need_our_artifacts_and_then_are_one_flow(way: Way) {
    let rig = Rig::start(way, Timing::instant()).await;
    let (on_disk, directory) = rig.directory("evidence");
    let admin = rig.user("admin", Permissions { artifact_writer: true, ..Permissions::investigator() });
    assert_eq!(rig.driver.install_artifacts().await.unwrap_err().kind(), ErrorKind::Denied);
    let files = ["a", "b", "missing"].map(|name| directory.child(name).unwrap());
    fs::write(on_disk.join("a"), noise(1, 5_000)).unwrap();
    fs::write(on_disk.join("b"), noise(2, 1_500_000)).unwrap();
    let mut seen = run(&rig.driver, &rig.endpoint, Work::Fetch { files: files.to_vec() }).await;
    seen.fetched.sort_by_key(|fetched| fetched.file.clone());
    assert_eq!(read_all(&rig.driver, seen.fetched[0].content.as_ref().unwrap()).await, noise(1, 5_000));
    assert!(seen.fetched[1].content.is_ok() && seen.fetched[2].content.is_err());
    let flows = rig.handle.counters().all_flows();
    assert_eq!(flows, 3, "one flow each without our artifacts");
    admin.install_artifacts().await.unwrap();
    // What the server can do is asked once a minute.
    let driver = rig.another();
    let capabilities = driver.capabilities(&rig.endpoint).await.unwrap();
    assert!(capabilities.list_many && capabilities.fetch_many && capabilities.ranges);
    let seen = run(&driver, &rig.endpoint, Work::Fetch { files: files.to_vec() }).await;
    assert_eq!(rig.handle.counters().all_flows(), flows + 1);
    assert_eq!(read_all(&rig.driver, seen.fetched[0].content.as_ref().unwrap()).await, noise(1, 5_000));
    assert_eq!(read_all(&rig.driver, seen.fetched[1].content.as_ref().unwrap()).await, noise(2, 1_500_000));
    assert!(seen.fetched[2].content.is_err());
    let seen = run(
        &rig.driver,
        &rig.endpoint,
        Work::Ranges { file: files[1].clone(), ranges: vec![(1_000, 10), (1_499_990, 99)] },
    )
    .await;
    let content = noise(2, 1_500_000);
    assert_eq!(read_all(&rig.driver, seen.fetched[0].content.as_ref().unwrap()).await, content[1_000..1_010]);
    assert_eq!(read_all(&rig.driver, seen.fetched[1].content.as_ref().unwrap()).await, content[1_499_990..]);
    assert_ranges(&seen, &on_disk.join("b"), &[(1_000, 10), (1_499_990, 99)]);
    let missing = Work::Ranges { file: files[2].clone(), ranges: vec![(0, 10)] };
    let seen = run(&rig.driver, &rig.endpoint, missing).await;
    assert!(seen.fetched[0].content.is_err() && seen.fetched[0].range.is_none());
    let directories = vec![directory.clone(), directory.child("nothing").unwrap()];
    let seen = run(&rig.driver, &rig.endpoint, Work::ListMany { directories }).await;
    assert_equals_disk(&seen.only_listing().rows, &on_disk);
    assert!(seen.complaint().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_a_record_is_told_from_a_missing_object() {
    let rig = Rig::start(Way::Grpc, Timing::instant()).await;
    let nobody = rig.simulator.write_certificate("nobody").unwrap();
    let report = connect(&rig.simulator, Way::Grpc, "nobody", &nobody).check().await;
    assert!(report.reachable && !report.is_usable(), "{report}");
    assert!(report.problems[0].contains("does not know our user"), "{report}");
}

async fn directories_of_a_long_flow_are_told_while_it_runs(way: Way) {
    let timing = Timing { rows_per_second: Some(3_000), ..Timing::instant() };
    let rig = Rig::start(way, timing).await;
    let (top, directory) = rig.directory("evidence");
    for index in 0..60 {
        let below = top.join(format!("d{index}"));
        fs::create_dir(&below).unwrap();
        fill(&below, 200);
    }
    let seen = rig.list(&directory, 1).await;
    assert_eq!((seen.listed.len(), seen.complaint()), (61, None));
    println!("told early: {} of {}, progress {:?}", seen.early, seen.listed.len(), seen.progress);
    assert!(seen.early > 10, "{}", seen.early);
    for listed in &seen.listed {
        let relative = PathBuf::from_iter(listed.directory.components.iter().map(AsRef::as_ref));
        assert_equals_disk(&listed.rows, &rig.root.path().join(relative));
    }
}
