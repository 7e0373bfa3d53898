//! The same promises with a real Velociraptor server and client (`VELOCIRAPTOR_BIN`, or the PATH): the tree that is on disk,
//! through both protocols; what a look costs; what a user without rights is told.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::large_files::{LOOKS, get_range, on_disk, with_image};
use crate::offline_queue;
use crate::support::gateway::{Client, Gateway, Start, url_path, verb};
use crate::support::ground_truth::{assert_contents_were_read, assert_same, ground_truth, nfs_times, through_nfs};
use crate::support::guest::{self, Link, Release};
use crate::support::propfind;
use crate::support::skip::skip_if;
use crate::support::tree::{HOW_MANY, MANY, Tree};
use crate::support::velociraptor::{self, Velociraptor};
use crate::whole_tree_through_webdav as webdav;

struct Rig {
    gateway: Gateway,
    velociraptor: Velociraptor,
    _state: TempDir,
}

fn rig() -> Rig {
    let velociraptor = Velociraptor::start();
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::serve(&velociraptor.api_config(), state.path()));
    Rig { gateway, velociraptor, _state: state }
}

impl Rig {
    fn client(&self) -> Client {
        let found = self.gateway.ready().clients.iter().find(|client| client.client_id == self.velociraptor.client_id);
        found.unwrap_or_else(|| panic!("the endpoint is not shown: {:?}", self.gateway.ready())).clone()
    }

    /// Seconds from the start of the newest flow to its last sign of life, as the server has them.
    fn newest_flow(&self) -> (String, f64) {
        let query = format!(
            "SELECT session_id, create_time, active_time FROM flows(client_id='{}') ORDER BY create_time DESC LIMIT 1",
            self.velociraptor.client_id
        );
        let rows = self.velociraptor.query(&query);
        let row = rows.first().expect("a flow");
        let micros = |key: &str| row[key].as_f64().unwrap_or_default();
        (
            row["session_id"].as_str().unwrap_or_default().to_owned(),
            (micros("active_time") - micros("create_time")) / 1e6,
        )
    }
}

#[test]
fn the_kernel_client_sees_the_tree_that_is_on_disk() {
    skip_if!(velociraptor::obstacle().or_else(|| guest::obstacle(Release::Trixie)));
    let tree = Tree::odd();
    let mut disk = nfs_times(through_nfs(&ground_truth(tree.path(), |path| !path.starts_with(MANY.as_bytes()))));
    // The endpoint's root is the machine's root here: no link of the tree climbs out of it, and absolute ones lead to it.
    for (path, object) in &mut disk {
        if let Some(link) = &mut object.link {
            keep_inside(tree.path(), path, link);
        }
    }
    let rig = rig();
    let port = rig.gateway.nfs_port();
    let export = format!("/{}/auto{}", rig.client().client_id, tree.path().display());
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let started = Instant::now();
    let ran = guest::run(Release::Trixie, &Link::Port(port), "walk.sh", &[("EXPORT", &export), ("OPTIONS", &options)]);
    eprintln!("{} objects listed and read through NFS in {:?}", disk.len(), started.elapsed());
    let seen = nfs_times(ran.objects());
    assert_contents_were_read(&disk, &seen);
    assert_same(&disk, &seen);
}

/// What D1 makes of a link when the tree lies at `root` of the endpoint: only what climbs beyond the endpoint's root changes.
fn keep_inside(root: &std::path::Path, path: &[u8], link: &mut Vec<u8>) {
    use std::os::unix::ffi::OsStrExt;
    let raw = std::fs::read_link(root.join(std::ffi::OsStr::from_bytes(path))).unwrap();
    if raw.is_relative()
        && raw.components().filter(|part| part.as_os_str() == "..").count() <= root.components().count()
    {
        *link = raw.as_os_str().as_bytes().to_vec();
    }
}

#[test]
fn webdav_shows_the_tree_that_is_on_disk() {
    skip_if!(velociraptor::obstacle());
    let tree = Tree::odd();
    let rig = rig();
    let started = Instant::now();
    webdav::assert_tree(&rig.gateway, &rig.client(), tree.path().to_str().unwrap().as_bytes(), &tree);
    eprintln!("the tree listed and read through WebDAV in {:?}", started.elapsed());
}

#[test]
fn a_miss_costs_little_more_than_its_flow() {
    skip_if!(velociraptor::obstacle());
    let tree = Tree::odd();
    let rig = rig();
    let http = rig.gateway.http();
    let folder = format!("{}/{MANY}", tree.path().display());
    let path = url_path(&rig.client(), folder.as_bytes()) + "/";
    let started = Instant::now();
    assert_eq!(propfind::list(&http, &path).len(), HOW_MANY);
    let miss = started.elapsed();
    let (flow, took) = rig.newest_flow();
    let started = Instant::now();
    assert_eq!(propfind::list(&http, &path).len(), HOW_MANY);
    let hit = started.elapsed();
    eprintln!("{HOW_MANY} entries: miss {miss:?} (flow {flow}: {took:.2} s by the server's clock), hit {hit:?}");
    assert!(hit.as_secs_f64() < miss.as_secs_f64() / 5.0, "the second look came from the cache: {hit:?}, {miss:?}");
}

#[test]
fn with_our_artifacts_a_look_into_a_large_file_moves_little_of_it() {
    skip_if!(velociraptor::obstacle());
    let tree = Tree::small();
    let image = with_image(&tree);
    let velociraptor = Velociraptor::start();
    let admin = velociraptor.path("admin.yaml");
    let said = verb(&["install-artifacts", "--api-config", admin.to_str().unwrap()], Duration::from_secs(60));
    assert!(said.succeeded(), "{}{}", said.text(), said.stderr);
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::serve(&velociraptor.api_config(), state.path()));
    let rig = Rig { gateway, velociraptor, _state: state };
    let folder = format!("{}/large", tree.path().display());
    let http = rig.gateway.http();
    let path = url_path(&rig.client(), format!("{folder}/disk.img").as_bytes());
    propfind::list(&http, &(url_path(&rig.client(), folder.as_bytes()) + "/"));
    for (range, offset, length) in LOOKS {
        let started = Instant::now();
        let answer = get_range(&http, &path, range);
        eprintln!("{length} bytes at {offset} of 3 GiB: {:?}", started.elapsed());
        assert_eq!(answer.status, 206, "{range}: {}", answer.text());
        assert!(answer.body == on_disk(&image, offset, length), "{range}");
    }
    let query = format!("SELECT total_uploaded_bytes FROM flows(client_id='{}')", rig.velociraptor.client_id);
    let moved: u64 = rig.velociraptor.query(&query).iter().filter_map(|row| row["total_uploaded_bytes"].as_u64()).sum();
    assert!((1..=24 << 20).contains(&moved), "{moved} bytes");
}

#[test]
fn a_second_gateway_collects_nothing_that_the_first_one_did() {
    skip_if!(velociraptor::obstacle());
    let tree = Tree::small();
    let rig = rig();
    let path = |name: &str| url_path(&rig.client(), format!("{}/{name}", tree.path().display()).as_bytes());
    let readme = std::fs::read(tree.path().join("readme.txt")).unwrap();
    propfind::list(&rig.gateway.http(), &path(""));
    assert_eq!(rig.gateway.http().get(&path("readme.txt")).body, readme);
    let (flow, _) = rig.newest_flow();
    let state = TempDir::new().unwrap();
    let second = Gateway::start(Start::serve(&rig.velociraptor.api_config(), state.path()));
    propfind::list(&second.http(), &path(""));
    assert_eq!(second.http().get(&path("readme.txt")).body, readme);
    assert_eq!(rig.newest_flow().0, flow, "what is listed and collected on the server needs no flow");
}

#[test]
fn what_waits_for_a_client_that_is_away_comes_when_it_is_back_and_what_was_taken_back_does_not() {
    skip_if!(velociraptor::obstacle());
    let tree = Tree::small();
    let mut velociraptor = Velociraptor::start();
    let state = TempDir::new().unwrap();
    let start = Start::serve(&velociraptor.api_config(), state.path()).with(["--offline", "queue"]);
    let mut gateway = Gateway::start(start);
    let client = gateway.ready().clients[0].clone();
    let path = |name: &str| url_path(&client, format!("{}/{name}", tree.path().display()).as_bytes());
    propfind::list(&gateway.http(), &path(""));
    velociraptor.stop_client();
    offline_queue::until("away", || !gateway.believes_online(&client));
    let documents = offline_queue::refused(&gateway, "PROPFIND", &path("documents/"));
    let readme = offline_queue::refused(&gateway, "GET", &path("readme.txt"));
    let unwanted = offline_queue::refused(&gateway, "PROPFIND", &path("pictures/"));
    gateway.verb("cancel", &[&unwanted]).expect("cancel");
    gateway.kill();
    gateway.start_again();
    velociraptor.start_client();
    let started = Instant::now();
    offline_queue::until("what waited has come", || offline_queue::has_come(&gateway, &[&documents, &readme]));
    eprintln!("here {:?} after the client was started", started.elapsed());
    velociraptor.stop_client();
    assert_eq!(
        propfind::list(&gateway.http(), &path("documents/")).len(),
        std::fs::read_dir(tree.path().join("documents")).unwrap().count()
    );
    assert_eq!(gateway.http().get(&path("readme.txt")).body, std::fs::read(tree.path().join("readme.txt")).unwrap());
    let query = format!("SELECT session_id, state, status FROM flows(client_id='{}')", client.client_id);
    let flows = velociraptor.query(&query);
    let state = |flow: &str| {
        let found = flows.iter().find(|row| row["session_id"] == flow);
        found.map(|row| format!("{} {}", row["state"], row["status"])).unwrap_or_default()
    };
    assert!(state(&documents).contains("FINISHED") && state(&readme).contains("FINISHED"), "{flows:?}");
    assert!(state(&unwanted).contains("Cancelled by"), "{}", state(&unwanted));
}

#[test]
fn a_user_without_rights_is_told_what_to_do() {
    skip_if!(velociraptor::obstacle());
    let velociraptor = Velociraptor::start();
    let state = TempDir::new().unwrap();
    let config = velociraptor.path("nobody.yaml");
    let arguments = ["check", "--api-config", config.to_str().unwrap(), "--state", state.path().to_str().unwrap()];
    let finished = verb(&arguments, Duration::from_secs(60));
    let said = finished.text() + &finished.stderr;
    assert!(!finished.succeeded(), "{said}");
    assert!(said.contains("--role investigator,api"), "{said}");
}
