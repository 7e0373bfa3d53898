//! Bad input and faults, by the simulator's switches through the real program: the answer is the one that SEMANTICS.md names, and nothing
//! wrong is ever cached: what is told afterwards, by the same gateway and after a restart of it, is what is on disk.
//!
//! The same faults one room down:
//! * the server restarts, event streams drop: `trouble` (with nothing under way), the driver's `simulated` (`a_server_that_restarts_is_waited_for`,
//!   `events_save_asking_and_losing_them_costs_only_time`) and `watch/tests/waiting`;
//! * a flow ends in ERROR: `trouble` (at once), the driver's `watch/tests/deep` (`a_flow_that_broke_off_gives_only_what_it_finished`);
//! * a failed refresh: the driver's `simulated` (`a_failed_refresh_leaves_the_servers_good_listing_alone`), the model's `listing`
//!   (`failed_refresh_never_replaces_a_good_snapshot`);
//! * rows with missing columns: `trouble` (a page), the driver's `simulated` (`old_servers_and_odd_rows_are_understood`);
//! * names that are not UTF-8: the model's `lookup`, the driver's `watch/tests/deep`;
//! * sizes that are not true: the model's `content` (`a_file_collected_larger_than_listed_has_the_size_that_was_collected`,
//!   `whoever_reads_a_file_that_then_vanishes_reads_it_to_its_end`), the driver's `watch/tests/collecting` (`bytes_that_did_not_arrive_are_missed`);
//! * any of these in any order: the model's `never_lie`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Client, Gateway, Start, url_path, verb};
use crate::support::http::Http;
use crate::support::propfind;
use crate::support::tree::{MANY, Tree, noise};
use crate::whole_tree_through_webdav::assert_tree;

/// A fault is over by then, and what follows from it.
const LIMIT: Duration = Duration::from_secs(150);

struct Stage {
    tree: Tree,
    state: TempDir,
    gateway: Gateway,
    client: Client,
}

impl Stage {
    fn with(tree: Tree, arguments: &[&str]) -> Stage {
        let state = TempDir::new().unwrap();
        let mut start = Start::demo(&[tree.path()], state.path());
        for argument in arguments {
            start = start.with([argument]);
        }
        let gateway = Gateway::start(start);
        let client = gateway.endpoint(tree.path());
        Stage { tree, state, gateway, client }
    }

    fn small() -> Stage {
        Stage::with(Tree::small(), &[])
    }

    fn url(&self, path: &str) -> String {
        url_path(&self.client, path.as_bytes())
    }

    fn fault(&self, fault: Value) {
        self.gateway.control().ask(&json!({ "fault": fault }));
    }

    /// The names in a directory as soon as it can be listed. Until then it is refused as a failure or as not ready, never as absent.
    #[track_caller]
    fn names(&self, path: &str) -> BTreeSet<Vec<u8>> {
        let started = Instant::now();
        loop {
            if let Some(names) = self.try_names(path) {
                return names;
            }
            assert!(started.elapsed() < LIMIT, "{path:?} cannot be listed");
            thread::sleep(Duration::from_millis(200));
        }
    }

    #[track_caller]
    fn try_names(&self, path: &str) -> Option<BTreeSet<Vec<u8>>> {
        let directory = self.url(path) + "/";
        let response = propfind::ask(&self.gateway.http(), &directory, "1").unwrap();
        if response.status != 207 {
            assert!([502, 503].contains(&response.status), "{path:?}: {}: {}", response.status, response.text());
            return None;
        }
        let mut resources = propfind::parse(&response.body);
        resources.remove(0);
        Some(resources.iter().map(|resource| resource.name().to_vec()).collect())
    }

    /// Lists a directory anew.
    #[track_caller]
    fn refresh(&self, path: &str) {
        let said = self.gateway.verb("refresh", &[&format!("/{}/auto/{path}", self.client.client_id)]);
        said.expect("refresh");
    }

    /// A colleague lists a directory in the GUI; until that is over.
    #[track_caller]
    fn refresh_by_a_colleague(&self, path: &str) {
        let control = self.gateway.control();
        let client = &self.client.client_id;
        let flow = control.ask(&json!({ "refresh": { "client": client, "path": [path] } }))["flow"].clone();
        self.until(|| control.ask(&json!({ "ended": { "client": client, "flow": flow } }))["ended"] == true);
    }

    /// Asks for a directory; when its flow has been started, `fault` happens.
    #[track_caller]
    fn names_although(&self, path: &str, fault: impl FnOnce()) -> BTreeSet<Vec<u8>> {
        let before = self.gateway.control().flows();
        thread::scope(|scope| {
            let names = scope.spawn(|| self.names(path));
            self.until(|| self.gateway.control().flows() > before);
            fault();
            names.join().unwrap()
        })
    }

    #[track_caller]
    fn until(&self, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < LIMIT, "it does not come to that");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is cached of a directory is what is on disk: told without a flow, and again when the gateway has been restarted.
    #[track_caller]
    fn assert_cached_right(&mut self, path: &str) {
        let disk = on_disk(&self.tree.path().join(path));
        assert_eq!(self.try_names(path).as_ref(), Some(&disk), "{path:?} as it is cached");
        self.gateway.kill();
        self.gateway.start_again();
        let before = self.gateway.control().flows();
        assert_eq!(self.names(path), disk, "{path:?} after a restart");
        assert_eq!(self.gateway.control().flows(), before, "it was in the store");
    }
}

fn on_disk(directory: &Path) -> BTreeSet<Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().as_bytes().to_vec()).collect()
}

/// A tree with a directory whose listing takes some seconds.
fn crowded() -> Tree {
    let tree = Tree::small();
    tree.crowd(20_000);
    tree
}

#[test]
fn a_server_that_restarts_in_the_middle_of_a_flow_delays_its_listing_and_nothing_else() {
    let mut stage = Stage::with(crowded(), &[]);
    let names = stage.names_although(MANY, || {
        stage.gateway.control().ask(&json!({ "restart_server": { "down_ms": 1000 } }));
    });
    assert_eq!(names, on_disk(&stage.tree.path().join(MANY)));
    stage.assert_cached_right(MANY);
}

#[test]
fn event_streams_that_drop_in_the_middle_of_a_flow_cost_only_time() {
    let stage = Stage::with(crowded(), &[]);
    let names = stage.names_although(MANY, || {
        stage.gateway.control().ask(&json!({ "drop_event_streams": {} }));
    });
    assert_eq!(names, on_disk(&stage.tree.path().join(MANY)));
}

/// `SEMANTICS 8.3`, and D29: a flow that broke off proves nothing about the directory in which it did.
#[test]
fn a_flow_that_breaks_off_with_part_of_the_rows_is_an_error_and_no_short_listing() {
    let tree = Tree::small();
    tree.crowd(3_000);
    let mut stage = Stage::with(tree, &[]);
    let everything = on_disk(&stage.tree.path().join(MANY));
    for rows in [1, 1_000, 1_500, 3_000] {
        stage.fault(json!({ "break_next_flows": { "count": 100, "rows": rows, "text": "out of memory" } }));
        let names = stage.try_names(MANY);
        assert_eq!(names, None, "broken off after {rows} rows");
        let told = stage.gateway.http().get(&(stage.url(MANY) + "/.raptorgate/dir.json"));
        assert!(!told.text().contains("\"listed\""), "{}", told.text());
    }
    stage.fault(json!({ "break_next_flows": { "count": 0, "rows": 0, "text": "" } }));
    assert_eq!(stage.names(MANY), everything);
    stage.assert_cached_right(MANY);
}

#[test]
fn a_walk_whose_flows_break_off_shows_whole_directories_only() {
    let tree = Tree::empty();
    for number in 0..60 {
        let below = tree.path().join(format!("walked/{}/{number:02}", number % 5));
        fs::create_dir_all(&below).unwrap();
        for file in 0..40 {
            fs::write(below.join(format!("{file}.txt")), "").unwrap();
        }
    }
    let stage = Stage::with(tree, &[]);
    stage.fault(json!({ "break_next_flows": { "count": 6, "rows": 130, "text": "out of memory" } }));
    let mut directories = vec!["walked".to_owned()];
    let mut seen = 0;
    while let Some(directory) = directories.pop() {
        let names = stage.names(&directory);
        let on_disk_now = stage.tree.path().join(&directory);
        assert_eq!(names, on_disk(&on_disk_now), "{directory}");
        seen += 1;
        let names = names.iter().map(|name| String::from_utf8(name.clone()).unwrap());
        directories
            .extend(names.filter(|name| on_disk_now.join(name).is_dir()).map(|name| format!("{directory}/{name}")));
    }
    assert_eq!(seen, 66);
}

/// The server's own record of a directory is overwritten when a colleague's refresh fails (docs/velociraptor-api.md §4.8).
#[test]
fn a_record_that_a_failed_refresh_overwrote_is_neither_an_empty_directory_nor_an_absent_one() {
    let stage = Stage::small();
    let documents = on_disk(&stage.tree.path().join("documents"));
    assert_eq!(stage.names("documents"), documents);
    let control = stage.gateway.control();
    let place = json!({ "client": stage.client.client_id, "path": ["documents"] });
    control.ask(&json!({ "vanish": place }));
    stage.refresh_by_a_colleague("documents");
    let before = control.flows();
    assert_eq!(stage.names("documents"), documents, "a good listing is kept (SEMANTICS 3.4)");
    assert_eq!(control.flows(), before, "it is young enough to be served as it is (SEMANTICS 3.1)");

    // A gateway that knows nothing yet has only the server's record, and the endpoint.
    let state = TempDir::new().unwrap();
    let other = second(&stage, state.path());
    let directory = stage.url("documents") + "/";
    let response = propfind::ask(&other.http(), &directory, "1").unwrap();
    assert_ne!(response.status, 207, "it is not there now: {}", response.text());
    control.ask(&json!({ "restore": place }));
    let started = Instant::now();
    while propfind::ask(&other.http(), &directory, "1").unwrap().status != 207 {
        // The listing above it, in which it was missing, was true and is young: it is listed anew by hand.
        other.verb("refresh", &[&format!("/{}/auto", stage.client.client_id)]).expect("refresh");
        assert!(started.elapsed() < LIMIT, "it is never found again");
        thread::sleep(Duration::from_millis(500));
    }
    let listed = propfind::list(&other.http(), &directory);
    assert_eq!(listed.iter().map(|resource| resource.name().to_vec()).collect::<BTreeSet<_>>(), documents);
}

/// Another gateway with a state of its own on the same server.
fn second(stage: &Stage, state: &Path) -> Gateway {
    let config = stage.state.path().join("simulator/api_client.yaml");
    Gateway::start(Start::serve(&config, state))
}

#[test]
fn rows_with_missing_columns_are_read_on_all_pages() {
    let tree = Tree::empty();
    fs::create_dir(tree.path().join("sizes")).unwrap();
    for number in 0..2_500_usize {
        tree.write(format!("sizes/{number:04}"), &vec![b'x'; number % 97]);
    }
    let stage = Stage::with(tree, &[]);
    stage.fault(json!({ "uneven_columns": true }));
    let listed = propfind::list(&stage.gateway.http(), &(stage.url("sizes") + "/"));
    assert_eq!(listed.len(), 2_500);
    for resource in listed {
        let number: u64 = std::str::from_utf8(resource.name()).unwrap().parse().unwrap();
        assert_eq!(resource.size(), Some(number % 97), "{number}");
        assert!(!resource.is_collection, "{number}");
    }
}

/// SEMANTICS 2.4.
#[test]
fn names_that_are_not_utf8_are_listed_one_by_one_and_never_read_as_each_other() {
    let tree = Tree::small();
    fs::create_dir(tree.path().join("names")).unwrap();
    for name in [&b"good"[..], b"bad \xff", b"bad \xfe"] {
        fs::write(tree.path().join("names").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let stage = Stage::with(tree, &[]);
    let listed = propfind::list(&stage.gateway.http(), &(stage.url("names") + "/"));
    assert_eq!(listed.len(), 3, "none is merged with another: {listed:?}");
    let before = stage.gateway.control().flows();
    for resource in listed.iter().filter(|resource| resource.name() != b"good") {
        let path = format!("names/{}", String::from_utf8_lossy(resource.name()));
        let response = stage.gateway.http().get(&stage.url(&path));
        assert_eq!(response.status, 403, "{path:?}: {}", response.text());
    }
    assert_eq!(stage.gateway.control().flows(), before, "the server cannot even be asked for them");
    assert_eq!(stage.gateway.http().get(&stage.url("names/good")).body, b"good");
}

fn size_of(http: &Http, path: &str) -> Option<u64> {
    let response = propfind::ask(http, path, "0").unwrap();
    assert_eq!(response.status, 207, "{}", response.text());
    propfind::parse(&response.body)[0].size()
}

/// SEMANTICS 5.1: the bytes are those of the file, and its size is theirs from then on.
#[track_caller]
fn assert_read_as_it_is(stage: &Stage, path: &str) {
    let content = fs::read(stage.tree.path().join(path)).unwrap();
    let http = stage.gateway.http();
    let before = stage.gateway.control().flows();
    for attempt in ["first", "second"] {
        let response = http.get(&stage.url(path));
        assert_eq!(response.status, 200, "{attempt}: {}", response.text());
        let told = response.header("content-length").and_then(|length| length.parse().ok());
        assert_eq!(told, Some(content.len()), "{attempt}: the length that is told");
        assert!(response.body == content, "{attempt}: other bytes than on disk");
        assert_eq!(size_of(&http, &stage.url(path)), Some(content.len() as u64), "{attempt}: the size that is told");
    }
    assert_eq!(stage.gateway.control().flows(), before + 1, "it is collected once");
}

#[test]
fn a_listing_that_lies_about_sizes_changes_no_byte_of_what_is_read() {
    for error in [7_000, -7_000] {
        let mut stage = Stage::small();
        stage.fault(json!({ "size_error": error }));
        let listed = size_of_listed(&stage, "documents", b"report.txt");
        assert_eq!(
            listed,
            Some(20_000_u64.saturating_add_signed(error)),
            "the lie is told as long as nothing else is known"
        );
        assert_read_as_it_is(&stage, "documents/report.txt");
        stage.gateway.kill();
        stage.gateway.start_again();
        let content = stage.gateway.http().get(&stage.url("documents/report.txt"));
        assert!(content.body == fs::read(stage.tree.path().join("documents/report.txt")).unwrap(), "after a restart");
    }
}

fn size_of_listed(stage: &Stage, directory: &str, name: &[u8]) -> Option<u64> {
    let listed = propfind::list(&stage.gateway.http(), &(stage.url(directory) + "/"));
    listed.iter().find(|resource| resource.name() == name).and_then(propfind::Resource::size)
}

#[test]
fn a_file_that_shrinks_between_listing_and_read_is_served_as_it_is_now() {
    let stage = Stage::small();
    assert_eq!(size_of_listed(&stage, "documents", b"report.txt"), Some(20_000));
    let report = File::options().write(true).open(stage.tree.path().join("documents/report.txt")).unwrap();
    report.set_len(1_234).unwrap();
    assert_read_as_it_is(&stage, "documents/report.txt");
}

#[test]
fn a_file_that_becomes_empty_between_listing_and_read_is_empty_and_not_refused() {
    let stage = Stage::small();
    assert_eq!(size_of_listed(&stage, "documents", b"report.txt"), Some(20_000));
    stage.tree.write("documents/report.txt", b"");
    assert_read_as_it_is(&stage, "documents/report.txt");
}

#[test]
fn a_file_that_grows_between_listing_and_read_is_served_whole() {
    let stage = Stage::small();
    assert_eq!(size_of_listed(&stage, "documents", b"report.txt"), Some(20_000));
    stage.tree.write("documents/report.txt", &noise(50_000, 9));
    assert_read_as_it_is(&stage, "documents/report.txt");
}

#[test]
fn a_file_that_goes_between_listing_and_read_is_an_error_and_never_empty() {
    let stage = Stage::small();
    assert_eq!(size_of_listed(&stage, "documents", b"report.txt"), Some(20_000));
    fs::remove_file(stage.tree.path().join("documents/report.txt")).unwrap();
    let response = stage.gateway.http().get(&stage.url("documents/report.txt"));
    assert!([403, 404, 410, 502].contains(&response.status), "{}: {}", response.status, response.text());
    stage.refresh("documents");
    assert_eq!(stage.gateway.http().get(&stage.url("documents/report.txt")).status, 404, "now a listing proves it");
}

#[test]
fn two_gateways_on_one_server_see_the_same_tree_and_share_what_the_server_holds() {
    let stage = Stage::small();
    let state = TempDir::new().unwrap();
    let other = second(&stage, state.path());
    let listed = stage.names("documents");
    let before = stage.gateway.control().flows();
    let theirs = propfind::list(&other.http(), &(stage.url("documents") + "/"));
    assert_eq!(theirs.iter().map(|resource| resource.name().to_vec()).collect::<BTreeSet<_>>(), listed);
    assert_eq!(stage.gateway.control().flows(), before, "who listed it first did it for both (SEMANTICS 3.3)");
    thread::scope(|scope| {
        for gateway in [&stage.gateway, &other] {
            scope.spawn(|| assert_tree(gateway, &stage.client, b"", &stage.tree));
        }
    });
    // What one of them sees later does not make the other one wrong.
    stage.tree.write("documents/report.txt", &noise(30_000, 5));
    let directory = format!("/{}/auto/documents", stage.client.client_id);
    other.verb("refresh", &[&directory]).expect("refresh");
    stage.gateway.verb("refresh", &[&directory]).expect("refresh");
    for gateway in [&stage.gateway, &other] {
        let response = gateway.http().get(&stage.url("documents/report.txt"));
        let size = size_of(&gateway.http(), &stage.url("documents/report.txt"));
        assert_eq!((response.status, size), (200, Some(response.body.len() as u64)));
        let versions = [noise(20_000, 1), noise(30_000, 5)];
        assert!(versions.contains(&response.body), "no mixture of two versions");
    }
}

/// SEMANTICS 11.2.
#[test]
fn two_gateways_never_write_to_one_state() {
    let stage = Stage::small();
    let state = TempDir::new().unwrap();
    let _first = second(&stage, state.path());
    let config = stage.state.path().join("simulator/api_client.yaml");
    let arguments = ["serve", "--api-config", config.to_str().unwrap(), "--state", state.path().to_str().unwrap()];
    let refused = verb(&[&arguments[..], &["--nfs", "127.0.0.1:0", "--webdav", "127.0.0.1:0"]].concat(), LIMIT);
    assert!(refused.status.is_some_and(|status| !status.success()), "{:?} {}", refused.status, refused.stderr);
    assert!(refused.stderr.contains("in use by another gateway"), "{}", refused.stderr);
}

#[test]
fn a_server_whose_clock_is_ahead_shows_the_right_tree() {
    let stage = Stage::small();
    stage.fault(json!({ "clock_skew_s": 3_600 }));
    assert_tree(&stage.gateway, &stage.client, b"", &stage.tree);
}

#[test]
fn a_server_whose_clock_is_behind_makes_nothing_empty_and_nothing_absent() {
    let mut stage = Stage::small();
    let documents = on_disk(&stage.tree.path().join("documents"));
    stage.names("");
    stage.fault(json!({ "clock_skew_s": -3_600 }));
    assert_eq!(stage.names("documents"), documents, "an endpoint that is there is not offline");
    stage.fault(json!({ "clock_skew_s": 0 }));
    assert_eq!(stage.names("documents"), documents);
    stage.assert_cached_right("documents");
}

/// SEMANTICS 8.1: a listing speaks of what is absent as long as it is young, whatever the server's clock makes of its age.
#[test]
fn what_came_since_is_not_absent_because_the_servers_clock_is_ahead() {
    let stage = Stage::with(Tree::small(), &["--max-age", "2s"]);
    stage.fault(json!({ "clock_skew_s": 3_600 }));
    stage.names("documents");
    stage.tree.write("documents/new.txt", b"new\n");
    // Older than max_age.
    thread::sleep(Duration::from_secs(3));
    let response = stage.gateway.http().get(&stage.url("documents/new.txt"));
    assert_eq!(response.status, 200, "{}", response.text());
}

/// SEMANTICS 3.3, 3.4: what a colleague listed is used, and is no newer than what comes after it, whatever the server's clock said.
#[test]
fn a_listing_from_the_future_does_not_stand_in_the_way_of_a_new_one() {
    let stage = Stage::small();
    stage.names("");
    stage.fault(json!({ "clock_skew_s": 3_600 }));
    stage.refresh_by_a_colleague("documents");
    stage.names("documents");
    stage.tree.write("documents/new.txt", b"new\n");
    stage.refresh("documents");
    assert_eq!(stage.names("documents"), on_disk(&stage.tree.path().join("documents")));
}
