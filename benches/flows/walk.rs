//! Walks of an uncached tree of 2,000 directories and 100,000 files: the kernel's NFS client, rclone, davfs2; a look elsewhere meanwhile;
//! and whoever comes second.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::by_hand::path;
use crate::crowd::{above, one, wide};
use crate::deployment::{Deployment, directory, look};
use crate::naive::naive;
use crate::report::{Report, median, ratio, time};
use crate::support::gateway::{Client, url_path};
use crate::support::guest::{self, Link, Release, Session};
use crate::support::process::{is_root, missing};

const DIRECTORIES: usize = 2_000;
const FILES_EACH: usize = 50;
/// What `find` prints: the directories, their files, and where it began.
const OBJECTS: usize = DIRECTORIES * (1 + FILES_EACH) + 1;
/// Looks elsewhere, idle and during a walk.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// Ten directories with ten each, and in those nineteen or so: three levels.
fn tree() -> TempDir {
    let tree = TempDir::new().unwrap();
    let top = (0..10).map(|top| format!("walked/{top:03}"));
    let middle = (0..100).map(|middle| format!("walked/{:03}/{middle:03}", middle % 10));
    let low = (0..DIRECTORIES - 110).map(|low| format!("walked/{:03}/{:03}/{low:04}", low % 10, low % 100));
    for name in top.chain(middle).chain(low) {
        let below = tree.path().join(name);
        fs::create_dir_all(&below).unwrap();
        for file in 0..FILES_EACH {
            fs::write(below.join(format!("file-{file:02}.txt")), "").unwrap();
        }
    }
    wide(tree.path());
    tree
}

/// All rows.
pub fn measure(report: &mut Report) {
    let tree = tree();
    let names = ["find", "by-hand", "rclone", "davfs2", "elsewhere"];
    let deployment = Deployment::start(names.iter().map(|name| directory(name, tree.path())).collect(), false);
    let (by_hand, brought) = deployment.server.list(path(&deployment.server.client_id("by-hand"), &["walked"]), 64);
    assert_eq!(brought.listings.len(), DIRECTORIES + 1, "the flow by hand lists all");
    let by_hand = (by_hand, time(by_hand));
    eprintln!("flows: one recursive listing by hand: {}", by_hand.1);
    match guest::obstacle(Release::Trixie) {
        None => {
            find(report, &deployment, &by_hand);
            elsewhere(report, &deployment);
        }
        Some(why) => report.skip("kernel `find`", &why),
    }
    match missing(&["rclone"]) {
        None => rclone(report, &deployment, &by_hand),
        Some(why) => report.skip("rclone", &why),
    }
    let obstacle = missing(&["mount.davfs", "unshare"]).or_else(|| {
        (!is_root() || !Path::new("/dev/fuse").exists()).then(|| "davfs2 needs root and /dev/fuse".to_owned())
    });
    match obstacle {
        None => davfs2(report, &deployment, &by_hand),
        Some(why) => report.skip("davfs2", &why),
    }
}

fn guest_session(deployment: &Deployment, client: &Client) -> Session {
    let port = deployment.gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}/auto", client.client_id);
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", options.as_str())];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/flows/guest/find.sh");
    let mut session = Session::start(Release::Trixie, &Link::Port(port), script, &variables);
    session.reach("mounted");
    session
}

/// From the word to go: the first names, all names.
fn walked(session: &mut Session) -> (Duration, Duration) {
    session.go_on();
    let started = Instant::now();
    session.reach("first");
    let first = started.elapsed();
    session.reach(&format!("found {OBJECTS}"));
    (first, started.elapsed())
}

fn find(report: &mut Report, deployment: &Deployment, (by_hand, in_words): &(Duration, String)) {
    let server = &deployment.server;
    let client = deployment.client("find");
    let mut session = guest_session(deployment, &client);
    let before = server.spent("find");
    let (first, all) = walked(&mut session);
    let spent = server.spent("find").since(before);
    session.go_on();
    session.reach("mounted");
    let before = server.spent("find");
    let (_, cached) = walked(&mut session);
    session.end();
    report.row(
        "kernel `find`, 2,000 directories, 100,000 files, uncached",
        format!(
            "{}, {} of one recursive listing by hand ({in_words}); {spent}; first names after {}. The guest's own work: the same tree cached takes {}",
            time(all), ratio(all, *by_hand), time(first), time(cached)
        ),
        "<= 1.2 x; <= 3 deliveries; first names < 3 s",
        naive().cost(DIRECTORIES as u32 + 1),
    );
    let http = deployment.gateway.http();
    let mut directories = vec![url_path(&client, b"walked") + "/"];
    let mut seen = 1;
    while let Some(directory) = directories.pop() {
        for entry in look(&http, &directory).1 {
            seen += 1;
            if entry.is_collection {
                directories.push(url_path_of(&entry.path));
            }
        }
    }
    assert_eq!(seen, OBJECTS);
    let spent = server.spent("find").since(before);
    report.row(
        "the same tree again: by the kernel after a remount, then through WebDAV",
        format!("{} flows", spent.flows),
        "0 flows",
        "as the first time",
    );
}

/// The names of this tree are plain: their paths need no escapes.
fn url_path_of(path: &[u8]) -> String {
    String::from_utf8_lossy(path).trim_end_matches('/').to_owned() + "/"
}

fn elsewhere(report: &mut Report, deployment: &Deployment) {
    let client = deployment.client("elsewhere");
    let http = deployment.gateway.http();
    look(&http, &above(&client));
    let looks = |from: usize| -> Vec<Duration> {
        let time = |number: usize| {
            std::thread::sleep(PAUSE);
            look(&http, &one(&client, number)).0
        };
        (from..from + LOOKS).map(time).collect()
    };
    let idle = looks(0);
    let mut session = guest_session(deployment, &client);
    session.go_on();
    session.reach("first");
    let busy = looks(100);
    session.reach(&format!("found {OBJECTS}"));
    report.row(
        "`ls` of one uncached directory elsewhere while such a walk runs",
        format!(
            "median {}, worst {}; idle median {}: {}",
            time(median(&busy)),
            time(busy.iter().copied().max().unwrap_or_default()),
            time(median(&idle)),
            ratio(median(&busy), median(&idle))
        ),
        "<= 1.5 x its time on an idle endpoint",
        "waits behind the walk's flows",
    );
}

fn rclone(report: &mut Report, deployment: &Deployment, (by_hand, in_words): &(Duration, String)) {
    let (server, ready) = (&deployment.server, deployment.gateway.ready());
    let url = format!("{}{}/auto", ready.webdav, deployment.client("rclone").client_id);
    let folder = TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new("rclone");
        command.env("RCLONE_CONFIG", folder.path().join("rclone.conf")).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
    };
    let user = ready.user.as_deref().unwrap_or("nobody");
    let password = ready.password.as_deref().unwrap_or("nothing");
    let create = ["config", "create", "gateway", "webdav", "url", &url, "vendor", "other", "--non-interactive"];
    let mut created = run(&[&create[..], &["user", user, "pass", password, "--obscure"]].concat());
    assert!(created.wait().unwrap().success(), "rclone config create");
    let walked = || {
        let started = Instant::now();
        let mut listing = run(&["lsf", "-R", "gateway:walked"]);
        let (mut first, mut names) = (None, 0);
        for _name in BufReader::new(listing.stdout.take().unwrap()).lines() {
            first.get_or_insert_with(|| started.elapsed());
            names += 1;
        }
        assert!(listing.wait().unwrap().success(), "rclone lsf");
        assert_eq!(names + 1, OBJECTS, "rclone lists all");
        (first.unwrap_or_default(), started.elapsed())
    };
    let before = server.spent("rclone");
    let (first, all) = walked();
    let spent = server.spent("rclone").since(before);
    let (_, again) = walked();
    report.row(
        "`rclone lsf -R` over the same tree, uncached",
        format!(
            "{}, {} ({in_words}); {spent}; first names after {}. rclone's own work (it starts a request every 10 ms at most): the same \
             tree cached takes {}",
            time(all),
            ratio(all, *by_hand),
            time(first),
            time(again)
        ),
        "<= 2 x; <= 5 deliveries",
        naive().cost(DIRECTORIES as u32 + 1),
    );
}

fn davfs2(report: &mut Report, deployment: &Deployment, (by_hand, in_words): &(Duration, String)) {
    let (server, ready) = (&deployment.server, deployment.gateway.ready());
    let url = format!("{}{}/auto", ready.webdav, deployment.client("davfs2").client_id);
    let folder = TempDir::new().unwrap();
    let (secrets, cache, configuration) =
        (folder.path().join("secrets"), folder.path().join("cache"), folder.path().join("davfs2.conf"));
    let user = ready.user.as_deref().unwrap_or("nobody");
    fs::write(&secrets, format!("{url} {user} {}\n", ready.password.as_deref().unwrap_or("nothing"))).unwrap();
    fs::create_dir(&cache).unwrap();
    fs::write(
        &configuration,
        format!("use_locks 0\nbuf_size 256\ncache_dir {}\nsecrets {}\n", cache.display(), secrets.display()),
    )
    .unwrap();
    // The daemon works as a user of its own.
    for (path, mode) in [(folder.path(), 0o755), (&cache, 0o777), (&secrets, 0o600)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // In a mount namespace of its own, so that nothing stays behind whatever happens; unmounted when the script is ended, too.
    let script = r#"
        mkdir -p "$1/mnt" && mount -t davfs -o "ro,conf=$2" "$3" "$1/mnt" || exit 1
        trap 'umount "$1/mnt"' EXIT
        trap 'exit 1' TERM INT
        echo mounted
        find "$1/mnt/walked""#;
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "davfs"]);
    command.arg(folder.path()).arg(&configuration).arg(&url).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    if !lines.next().is_some_and(|line| line.is_ok_and(|line| line == "mounted")) {
        let status = child.wait().unwrap();
        return report.skip("davfs2", &format!("it could not be mounted here ({status})"));
    }
    let before = server.spent("davfs2");
    let started = Instant::now();
    let (mut first, mut names) = (None, 0);
    // umount talks, too.
    for _name in lines.filter(|line| line.as_ref().is_ok_and(|line| line.contains("/walked"))) {
        names += 1;
        if names == 2 {
            first = Some(started.elapsed());
        }
    }
    let all = started.elapsed();
    assert!(child.wait().unwrap().success(), "find over davfs2");
    let complete = if names == OBJECTS { String::new() } else { format!("; INCOMPLETE: {names} of {OBJECTS} names") };
    let spent = server.spent("davfs2").since(before);
    report.row(
        "`find` over the same tree by davfs2, uncached",
        format!(
            "{}, {} ({in_words}); {spent}; first names after {}{complete}",
            time(all),
            ratio(all, *by_hand),
            time(first.unwrap_or_default())
        ),
        "<= 2 x; <= 5 deliveries",
        naive().cost(DIRECTORIES as u32 + 1),
    );
}
