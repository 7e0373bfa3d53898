//! The whole tree through WebDAV is the tree on disk, by PROPFIND and GET and by every client that Debian has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::{Client, Gateway, url_path};
use crate::support::ground_truth::{Object, Objects, assert_contents_were_read, assert_same, ground_truth, sha256};
use crate::support::http::Http;
use crate::support::process::{self, is_root, missing};
use crate::support::propfind;
use crate::support::skip::{skip, skip_if};
use crate::support::tree::{HOW_MANY, MANY, Tree};

/// A client may take this long for the whole tree, flows included.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn propfind_and_get_show_the_tree_that_is_on_disk() {
    let tree = Tree::odd();
    let gateway = Gateway::demo(&[tree.path()]);
    assert_tree(&gateway, &gateway.endpoint(tree.path()), b"", &tree);
}

/// The tree, which lies at `root` of the endpoint, is the one on disk.
pub fn assert_tree(gateway: &Gateway, client: &Client, root: &[u8], tree: &Tree) {
    let disk = as_webdav_shows(&ground_truth(tree.path(), is_read));
    let mut seen = Objects::new();
    Walk { http: &gateway.http(), client, root }.folder(b"", &mut seen);
    assert_contents_were_read(&disk, &seen);
    assert_same(&disk, &seen);
}

fn is_read(path: &[u8]) -> bool {
    !path.starts_with(MANY.as_bytes())
}

/// Files and directories as they are; times to the second and not before 1970 (SEMANTICS 4.2). What is neither (links, pipes,
/// devices) has no counterpart in WebDAV, and is told from a file by its size of 0.
fn as_webdav_shows(disk: &Objects) -> Objects {
    disk.iter()
        .map(|(path, object)| {
            let plain = matches!(object.kind, 'f' | 'd');
            let shown = Object {
                kind: if object.kind == 'd' { 'd' } else { 'f' },
                size: object.size.filter(|_| plain),
                modified: object.modified.map(|(seconds, _)| (seconds.max(0), 0)).filter(|_| plain),
                sha256: object.sha256.clone(),
                link: None,
            };
            (path.clone(), shown)
        })
        .collect()
}

struct Walk<'a> {
    http: &'a Http,
    client: &'a Client,
    root: &'a [u8],
}

impl Walk<'_> {
    fn url(&self, path: &[u8]) -> String {
        url_path(self.client, &[self.root, b"/", path].concat())
    }

    fn folder(&self, folder: &[u8], seen: &mut Objects) {
        for resource in propfind::list(self.http, &(self.url(folder) + "/")) {
            let path = match folder {
                [] => resource.name().to_vec(),
                _ => [folder, b"/", resource.name()].concat(),
            };
            let name = String::from_utf8_lossy(&path).into_owned();
            let kind = if resource.is_collection { 'd' } else { 'f' };
            let modified = resource.properties.get("getlastmodified").map(|date| (seconds(date), 0));
            let mut object = Object { kind, size: resource.size(), modified, ..Object::default() };
            if kind == 'f' && is_read(&path) && is_regular(&path) {
                let response = self.http.get(&self.url(&path));
                assert_eq!(response.status, 200, "GET {name:?}: {}", response.text());
                assert_eq!(Some(response.body.len() as u64), object.size, "length of {name:?}");
                object.sha256 = Some(sha256(&response.body));
            }
            assert!(seen.insert(path.clone(), object).is_none(), "twice: {name:?}");
            if kind == 'd' {
                self.folder(&path, seen);
            }
        }
    }
}

/// What the odd tree has as regular files: all but its links and its special files.
fn is_regular(path: &[u8]) -> bool {
    match path.split(|byte| *byte == b'/').next() {
        Some(b"links") => path == b"links/target",
        Some(b"special") => {
            [&b"special/setuid"[..], b"special/setgid", b"special/unreadable", b"special/executable"].contains(&path)
        }
        _ => true,
    }
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(date: &str) -> i64 {
    let words: Vec<&str> = date.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = words[..] else { panic!("no HTTP date: {date}") };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = 1 + months.iter().position(|name| *name == month).unwrap_or_else(|| panic!("no month: {date}"));
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("no number: {text} in {date}"));
    // Days from a year that begins in March.
    let (year, month) = (number(year) - i64::from(month < 3), (i64::try_from(month).unwrap() + 9) % 12);
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + number(day)
        - 719_469;
    ((days * 24 + number(hour)) * 60 + number(minute)) * 60 + number(second)
}

#[test]
fn http_dates_are_read_right() {
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), 784_111_777);
    assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    assert_eq!(seconds("Fri, 01 Jan 1960 00:00:00 GMT"), -315_619_200);
}

/// A demo with a small plain tree, for the clients that have troubles of their own with odd names.
fn small_demo() -> (Tree, Gateway, String) {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let url = format!("{}{}/auto", gateway.ready().webdav, gateway.endpoint(tree.path()).client_id);
    (tree, gateway, url)
}

#[test]
fn rclone_finds_no_difference() {
    skip_if!(missing(&["rclone"]));
    let tree = Tree::odd();
    // rclone has no way to show what is neither file nor directory, and takes links of the local side for something else.
    fs::remove_dir_all(tree.path().join("special")).unwrap();
    fs::remove_dir_all(tree.path().join("links")).unwrap();
    // It spells control characters in its own way on the two sides.
    for name in ["new\nline", "tab\tinside", "bell\u{7}", "delete\u{7f}"] {
        fs::remove_file(tree.path().join("names").join(name)).unwrap();
    }
    let gateway = Gateway::demo(&[tree.path()]);
    let url = format!("{}{}/auto", gateway.ready().webdav, gateway.endpoint(tree.path()).client_id);
    let configuration = TempDir::new().unwrap();
    let rclone = |arguments: &[&str]| {
        let mut command = Command::new("rclone");
        command.env("RCLONE_CONFIG", configuration.path().join("rclone.conf")).args(arguments);
        process::run(&mut command, LIMIT)
    };
    let mut create =
        vec!["config", "create", "gateway", "webdav", "url", url.as_str(), "vendor", "other", "--non-interactive"];
    let ready = gateway.ready();
    if let Some((user, password)) = ready.user.as_deref().zip(ready.password.as_deref()) {
        create.extend(["user", user, "pass", password, "--obscure"]);
    }
    rclone(&create).expect("rclone config create");

    let listed = rclone(&["lsjson", "gateway:many", "--no-mimetype"]).expect("rclone lsjson").stdout;
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), HOW_MANY);

    let local = tree.path().to_str().unwrap();
    rclone(&["check", "--download", "--exclude", "/many/**", local, "gateway:"]).expect("rclone check --download");
}

#[test]
fn davfs2_mounts_and_reads() {
    if !is_root() {
        skip!("mounting with davfs2 needs root");
    }
    if !Path::new("/dev/fuse").exists() {
        skip!("no /dev/fuse here");
    }
    skip_if!(missing(&["mount.davfs", "unshare"]));
    let (tree, gateway, url) = small_demo();
    let folder = TempDir::new().unwrap();
    let secrets = folder.path().join("secrets");
    let ready = gateway.ready();
    let (user, password) = ready.user.as_deref().zip(ready.password.as_deref()).unwrap_or(("nobody", "nothing"));
    fs::write(&secrets, format!("{url} {user} {password}\n")).unwrap();
    fs::set_permissions(&secrets, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    // The daemon works as a user of its own.
    for (folder, mode) in [(folder.path(), 0o755), (&cache, 0o777)] {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let configuration = folder.path().join("davfs2.conf");
    let settings = format!("use_locks 0\nbuf_size 256\ncache_dir {}\nsecrets {}\n", cache.display(), secrets.display());
    fs::write(&configuration, settings).unwrap();
    // In a mount namespace of its own, so that nothing stays behind whatever happens.
    let script = r#"
        mkdir -p "$1/mnt" && mount -t davfs -o "ro,conf=$2" "$3" "$1/mnt" || exit 1
        cd "$1/mnt" && find . -mindepth 1 -not -name lost+found -printf '%P\t%y\t%s\n' | sort >"$1/listing"
        find . -type f -not -path './lost+found/*' -exec sha256sum {} + | sort >"$1/sums"
        cd / && umount "$1/mnt""#;
    let mut command = Command::new("unshare");
    command
        .args(["-m", "--propagation", "private", "sh", "-c", script, "davfs"])
        .arg(folder.path())
        .arg(&configuration)
        .arg(&url);
    process::run(&mut command, LIMIT).expect("davfs2");

    let listing = fs::read_to_string(folder.path().join("listing")).unwrap();
    let sums = fs::read_to_string(folder.path().join("sums")).unwrap();
    let mut seen = Objects::new();
    for line in listing.lines() {
        let [path, kind, size] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let kind = kind.chars().next().unwrap();
        let object = Object { kind, size: (kind == 'f').then(|| size.parse().unwrap()), ..Object::default() };
        seen.insert(path.as_bytes().to_vec(), object);
    }
    for line in sums.lines() {
        let (hash, path) = line.split_once("  ./").unwrap();
        seen.get_mut(path.as_bytes()).unwrap().sha256 = Some(hash.to_owned());
    }
    let disk = ground_truth(tree.path(), |_| true);
    assert_contents_were_read(&disk, &seen);
    assert_same(&disk, &seen);
}

#[test]
fn gio_lists_and_copies() {
    skip_if!(missing(&["gio", "dbus-run-session"]));
    if !Path::new("/usr/share/gvfs/mounts/dav.mount").exists() {
        skip!("not installed here: gvfs-backends");
    }
    let (tree, gateway, url) = small_demo();
    let folder = TempDir::new().unwrap();
    let ready = gateway.ready();
    let (user, password) = ready.user.as_deref().zip(ready.password.as_deref()).unwrap_or(("nobody", "nothing"));
    let dav = url.replacen("http://", &format!("dav://{user}@"), 1);
    let script = r#"
        printf '%s\n' "$3" | gio mount "$1" >&2 || exit 1
        gio list -l "$1/documents" && gio cat "$1/documents/letters/one.txt" && gio copy "$1/pictures/large.bin" "$2/large.bin""#;
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", script, "gio", &dav]).arg(folder.path()).arg(password);
    command.env("XDG_RUNTIME_DIR", folder.path()).env("HOME", folder.path());
    let said = process::run(&mut command, LIMIT).expect("gio").text();
    assert!(said.contains("report.txt") && said.contains("letters") && said.contains("20000"), "{said}");
    assert!(said.contains("dear sir"), "{said}");
    let copied = fs::read(folder.path().join("large.bin")).unwrap();
    assert_eq!(sha256(&copied), sha256(&fs::read(tree.path().join("pictures/large.bin")).unwrap()));
}

#[test]
fn cadaver_lists_and_gets() {
    skip_if!(missing(&["cadaver"]));
    let (tree, gateway, url) = small_demo();
    let folder = TempDir::new().unwrap();
    let ready = gateway.ready();
    if let Some((user, password)) = ready.user.as_deref().zip(ready.password.as_deref()) {
        let machine = "127.0.0.1";
        fs::write(folder.path().join(".netrc"), format!("machine {machine}\nlogin {user}\npassword {password}\n"))
            .unwrap();
        fs::set_permissions(folder.path().join(".netrc"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let commands = folder.path().join("commands");
    fs::write(&commands, "ls\ncd documents\nls\nget report.txt\nquit\n").unwrap();
    let mut command = Command::new("cadaver");
    command.arg("-r").arg(&commands).arg(format!("{url}/")).env("HOME", folder.path()).current_dir(folder.path());
    let said = process::run(&mut command, LIMIT).expect("cadaver").text();
    assert!(said.contains("documents") && said.contains("report.txt") && said.contains("20000"), "{said}");
    let copied = fs::read(folder.path().join("report.txt")).unwrap();
    assert_eq!(sha256(&copied), sha256(&fs::read(tree.path().join("documents/report.txt")).unwrap()));
}

#[test]
fn curl_resumes_a_download_and_asks_whether_it_changed() {
    skip_if!(missing(&["curl"]));
    let (tree, gateway, url) = small_demo();
    let folder = TempDir::new().unwrap();
    let whole = fs::read(tree.path().join("pictures/large.bin")).unwrap();
    let file = folder.path().join("large.bin");
    fs::write(&file, &whole[..1_234_567]).unwrap();
    let ready = gateway.ready();
    let login =
        ready.user.as_deref().zip(ready.password.as_deref()).map(|(user, password)| format!("{user}:{password}"));
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail"]).args(arguments);
        if let Some(login) = &login {
            command.args(["-u", login]);
        }
        process::run(&mut command, LIMIT)
    };
    let source = format!("{url}/pictures/large.bin");
    curl(&["-C", "-", "-o", file.to_str().unwrap(), &source]).expect("curl -C -");
    assert_eq!(sha256(&fs::read(&file).unwrap()), sha256(&whole));

    let head = gateway
        .http()
        .request("HEAD", source.strip_prefix(ready.webdav.trim_end_matches('/')).unwrap(), &[], b"")
        .unwrap();
    let headers: BTreeMap<&str, &str> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers["content-length"], "3000000");
    let condition = format!("If-None-Match: {}", headers["etag"]);
    let status =
        curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &condition, &source]).expect("curl If-None-Match").text();
    assert_eq!(status, "304");
}
