//! Many users at once: each opens another uncached directory of one endpoint.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vfs::backend::Work;

use crate::by_hand::path;
use crate::deployment::{Deployment, Spent, directory, look};
use crate::naive::naive;
use crate::report::{Report, ratio, time};
use crate::support::gateway::{Client, url_path};

const USERS: usize = 20;
const FILES: usize = 50;
/// Longer than any flow that has a token.
const WAITED: Duration = Duration::from_secs(5);
/// Slower than a walk.
const PAUSE: Duration = Duration::from_millis(1_500);

/// A directory with more sub-directories than are ever looked ahead into (SEMANTICS 12.4), two levels down: with its parent's listing
/// come its names, and nothing of what is in them.
pub fn wide(root: &Path) {
    for number in 0..250 {
        let below = root.join(format!("above/wide/{number:03}"));
        std::fs::create_dir_all(&below).unwrap();
        for file in 0..FILES {
            std::fs::write(below.join(format!("{file}.txt")), "").unwrap();
        }
    }
}

/// Where the names of those directories come from.
pub fn above(client: &Client) -> String {
    url_path(client, b"above") + "/"
}

/// One of those directories.
pub fn one(client: &Client, number: usize) -> String {
    url_path(client, format!("above/wide/{number:03}").as_bytes()) + "/"
}

/// The rows for a full bucket and for an empty one.
pub fn measure(report: &mut Report) {
    let tree = TempDir::new().unwrap();
    wide(tree.path());
    let naive = naive();
    for full in [true, false] {
        let names = ["crowd", "by-hand"];
        let deployment = Deployment::start(names.iter().map(|name| directory(name, tree.path())).collect(), false);
        let (ours, spent) = at_once(&deployment, full);
        let by_hand = by_hand(&deployment, full);
        let bucket = if full { "full" } else { "empty" };
        report.row(
            format!("{USERS} users open {USERS} uncached directories at once, {bucket} bucket"),
            format!(
                "{}, {spent}; {} of {USERS} flows by hand at once ({})",
                time(ours),
                ratio(ours, by_hand),
                time(by_hand)
            ),
            if full { "<= 1.2 x" } else { "one wait for all, nothing lost" },
            naive.cost(USERS as u32),
        );
    }
}

fn at_once(deployment: &Deployment, full: bool) -> (Duration, Spent) {
    let client = deployment.client("crowd");
    let http = deployment.gateway.http();
    look(&http, &above(&client));
    // A person uses the bucket up: the one who waited for a token took it.
    let mut person = (USERS..USERS + 100).map(|number| {
        std::thread::sleep(PAUSE);
        look(&http, &one(&client, number)).0
    });
    assert!(full || person.any(|took| took > WAITED), "the bucket does not run empty");
    // None of the users is the one who looked before.
    std::thread::sleep(PAUSE);
    let before = deployment.server.spent("crowd");
    let started = Instant::now();
    std::thread::scope(|scope| {
        let users = (0..USERS).map(|number| {
            let (http, directory) = (&http, one(&client, number));
            scope.spawn(move || look(http, &directory).1.len())
        });
        for user in users.collect::<Vec<_>>() {
            assert_eq!(user.join().unwrap(), FILES, "nothing is lost");
        }
    });
    (started.elapsed(), deployment.server.spent("crowd").since(before))
}

fn by_hand(deployment: &Deployment, full: bool) -> Duration {
    let client = deployment.server.client_id("by-hand");
    let mut above = (0..100).map(|_| deployment.server.list(path(&client, &["above"]), 1).0);
    if full {
        // The gateway's endpoint has paid for it, too.
        above.next();
    } else {
        assert!(above.any(|took| took > WAITED), "the bucket does not run empty");
    }
    let works = (0..USERS).map(|number| Work::List {
        directory: path(&client, &["above".to_owned(), "wide".to_owned(), format!("{number:03}")]),
        depth: 0,
    });
    deployment.server.by_hand(works.collect()).0
}
