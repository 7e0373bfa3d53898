//! Large files, where the server has our artifacts: a look into one moves a few megabytes, and a change of it is never mixed in.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Start, url_path};
use crate::support::ground_truth::sha256;
use crate::support::guest::{Link, Release, Session, obstacle};
use crate::support::http::{Http, Response};
use crate::support::propfind;
use crate::support::skip::skip_if;
use crate::support::tree::{Tree, noise};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 3 << 30;
const MIDDLE: u64 = 393_216 * 4096;

/// Ranges as they are asked for, where they begin, and their lengths.
pub const LOOKS: [(&str, u64, usize); 3] =
    [("0-99", 0, 100), ("-70000", SIZE - 70_000, 70_000), ("1610612731-1613612735", MIDDLE - 5, 3_000_005)];

/// A disk image of 3 GiB: noise where the tests look, holes elsewhere.
pub fn with_image(tree: &Tree) -> PathBuf {
    fs::create_dir_all(tree.path().join("large")).unwrap();
    let image = tree.path().join("large/disk.img");
    let file = File::create(&image).unwrap();
    file.set_len(SIZE).unwrap();
    for offset in [0, MIDDLE, SIZE - 2 * MIB] {
        file.write_all_at(&noise(2 << 20, offset), offset).unwrap();
    }
    drop(file);
    image
}

pub fn on_disk(image: &Path, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open(image).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

/// Bytes that have left the endpoint.
fn uploaded(gateway: &Gateway, client: &str) -> u64 {
    gateway.control().counters()["uploaded_bytes"][client].as_u64().unwrap_or(0)
}

fn demo(tree: &Tree, state: &TempDir) -> Gateway {
    Gateway::start(Start::demo(&[tree.path()], state.path()).with(["--artifacts"]))
}

#[test]
fn a_look_through_nfs_moves_a_few_megabytes() {
    skip_if!(obstacle(Release::Trixie));
    let tree = Tree::small();
    let image = with_image(&tree);
    let state = TempDir::new().unwrap();
    let gateway = demo(&tree, &state);
    let client = gateway.endpoint(tree.path()).client_id;
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{client}/auto");
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", options.as_str())];
    let mut guest = Session::start(Release::Trixie, &Link::Port(port), "large.sh", &variables);
    let sum = |offset, length| vec![sha256(&on_disk(&image, offset, length))];
    assert_eq!(guest.reach("ready"), [SIZE.to_string()]);
    let (flows, bytes) = (gateway.control().flows(), uploaded(&gateway, &client));
    guest.go_on();
    assert_eq!(guest.reach("head"), sum(0, 65_536));
    let (flows, bytes) = (gateway.control().flows() - flows, uploaded(&gateway, &client) - bytes);
    println!("the first 64 KiB of 3 GiB: {flows} flows, {bytes} bytes");
    assert!(flows <= 2 && bytes <= 8 * MIB, "{flows} flows, {bytes} bytes");
    guest.go_on();
    assert_eq!(guest.reach("looked"), [sum(SIZE - 70_000, 70_000), sum(MIDDLE, 65_536)].concat());
    let flows = gateway.control().flows();
    guest.go_on();
    assert_eq!(guest.reach("again"), sum(0, 65_536));
    assert_eq!(gateway.control().flows(), flows, "what is here costs nothing");
    guest.go_on();
    guest.end();
}

pub fn get_range(http: &Http, path: &str, range: &str) -> Response {
    http.request("GET", path, &[("Range", &format!("bytes={range}"))], b"").unwrap()
}

#[test]
fn ranges_over_http_are_exact_and_a_changed_file_is_not_mixed() {
    let tree = Tree::small();
    let image = with_image(&tree);
    let state = TempDir::new().unwrap();
    let mut gateway = demo(&tree, &state);
    let client = gateway.endpoint(tree.path());
    let path = url_path(&client, b"large/disk.img");
    propfind::list(&gateway.http(), &(url_path(&client, b"large") + "/"));
    let whole = gateway.http().get(&path);
    assert_eq!(whole.status, 413, "a download of all of it is refused: {}", whole.text());
    for (range, offset, length) in LOOKS {
        let answer = get_range(&gateway.http(), &path, range);
        assert_eq!(answer.status, 206, "{range}: {}", answer.text());
        assert!(answer.body == on_disk(&image, offset, length), "{range}");
    }
    let moved = uploaded(&gateway, &client.client_id);
    assert!(moved <= 24 * MIB, "{moved} bytes");

    // The endpoint's file changes: what was read stays, the rest is an error and no mixture; and so after SIGKILL.
    let before = on_disk(&image, 0, 100);
    File::options().write(true).open(&image).unwrap().write_all_at(&noise(4 << 20, 99), 0).unwrap();
    let modified = SystemTime::now() + Duration::from_secs(2);
    File::options().write(true).open(&image).unwrap().set_modified(modified).unwrap();
    let changed = get_range(&gateway.http(), &path, "1000000000-1000000099");
    assert_eq!(changed.status, 409, "{}", changed.text());
    gateway.kill();
    gateway.start_again();
    // The new listing that the change asked for may have come before: then this is the new version.
    let now = get_range(&gateway.http(), &path, "0-99");
    assert!(now.body == before || now.body == on_disk(&image, 0, 100), "{}", now.text());
    let refreshed = gateway.verb("refresh", &[&format!("/{}/auto/large", client.client_id)]);
    assert!(refreshed.succeeded(), "{}", refreshed.text());
    for (range, offset, length) in [("0-99", 0, 100), ("3000000-4999999", 3_000_000, 2_000_000)] {
        let answer = get_range(&gateway.http(), &path, range);
        assert_eq!(answer.status, 206, "{range}: {}", answer.text());
        assert!(answer.body == on_disk(&image, offset, length), "{range}");
    }
}

#[test]
fn without_our_artifacts_a_large_file_is_refused_with_the_reason() {
    let tree = Tree::small();
    with_image(&tree);
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    propfind::list(&gateway.http(), &(url_path(&client, b"large") + "/"));
    let answer = get_range(&gateway.http(), &url_path(&client, b"large/disk.img"), "0-99");
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("raptorgate collect"), "{}", answer.text());
}
