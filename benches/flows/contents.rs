//! Contents: a directory of small files that is copied, and a large file that is read from one end to the other.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use simulator::{EndpointConfig, Timing};
use tempfile::TempDir;
use vfs::backend::{Backend as _, FetchedContent, Work};

use crate::by_hand::path;
use crate::deployment::{Deployment, directory, look};
use crate::naive::naive;
use crate::report::{Report, median, ratio, time};
use crate::support::gateway::url_path;
use crate::support::guest::{self, Link, Release, Session};
use crate::support::tree::noise;

const SMALL: usize = 10 << 10;
const WITH_ARTIFACTS: usize = 1_000;
/// Without our artifacts each file is a flow of its own: fewer are enough to see what one costs.
const WITHOUT: usize = 40;

/// `cp -r` of small files, with our artifacts on the server and without.
pub fn copy(report: &mut Report) {
    if let Some(why) = guest::obstacle(Release::Trixie) {
        return report.skip("`cp -r` of small files", &why);
    }
    copy_of(report, WITH_ARTIFACTS, true);
    copy_of(report, WITHOUT, false);
}

fn copy_of(report: &mut Report, count: usize, artifacts: bool) {
    let tree = TempDir::new().unwrap();
    fs::create_dir(tree.path().join("files")).unwrap();
    let mut sum = Sha256::new();
    for number in 0..count {
        let content = noise(SMALL, number as u64);
        sum.update(&content);
        fs::write(tree.path().join(format!("files/{number:04}")), content).unwrap();
    }
    let sum: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let deployment =
        Deployment::start(vec![directory("copy", tree.path()), directory("by-hand", tree.path())], artifacts);
    let (client, server) = (deployment.client("copy"), &deployment.server);
    let port = deployment.gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}/auto", client.client_id);
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", options.as_str()), ("FOLDER", "files")];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/flows/guest/copy.sh");
    let mut session = Session::start(Release::Trixie, &Link::Port(port), script, &variables);
    session.reach("listed");
    let before = server.spent("copy");
    let started = Instant::now();
    session.go_on();
    session.reach(&format!("copied {count}"));
    let took = started.elapsed();
    let spent = server.spent("copy").since(before);
    session.reach(&format!("sum {sum}"));
    session.go_on();
    let started = Instant::now();
    session.reach(&format!("copied {count}"));
    let again = started.elapsed();
    session.reach(&format!("sum {sum}"));
    session.end();
    let by_hand = artifacts.then(|| {
        let by_hand = server.client_id("by-hand");
        let files = (0..count).map(|number| path(&by_hand, &["files".to_owned(), format!("{number:04}")]));
        let (took, brought) = server.by_hand(vec![Work::Fetch { files: files.collect() }]);
        assert_eq!(brought[0].files.len(), count, "the flow by hand brings all");
        took
    });
    let compared = by_hand
        .map(|by_hand| format!("; {} of one flow by hand that collects all ({})", ratio(took, by_hand), time(by_hand)))
        .unwrap_or_default();
    let with = if artifacts { "our artifacts installed" } else { "without our artifacts" };
    report.row(
        format!("`cp -r` of {count} files of 10 KiB, listed, uncollected, {with}"),
        format!("{}, {spent}{compared}. The guest's own work: the same copied again takes {}", time(took), time(again)),
        if artifacts { "<= 5 deliveries; <= 2 x one recursive download" } else { "" },
        naive().cost(count as u32),
    );
    let before = server.spent("copy");
    let http = deployment.gateway.http();
    look(&http, &(url_path(&client, b"files") + "/"));
    for number in 0..count {
        let content = http.get(&url_path(&client, format!("files/{number:04}").as_bytes()));
        assert!(content.body == noise(SMALL, number as u64), "file {number}");
    }
    let flows = server.spent("copy").since(before).flows;
    report.row(
        format!("the same {count} files read again, through WebDAV"),
        format!("{flows} flows"),
        "0 flows",
        "as the first time",
    );
}

const LARGE: u64 = 1 << 30;
/// Runs of the raw calls before the read; what the gateway writes to its store would disturb them afterwards.
const RAW_RUNS: usize = 3;
/// Bytes of a raw call.
const PIECE: u32 = 1 << 20;
const IN_FLIGHT: usize = 8;

/// A collected file of 1 GiB that the gateway has no byte of yet.
pub fn sequential(report: &mut Report) {
    if let Some(why) = crate::support::process::missing(&["curl"]) {
        return report.skip("sequential read", &why);
    }
    let tree = TempDir::new().unwrap();
    let block = noise(64 << 20, 1);
    let mut file = fs::File::create(tree.path().join("large")).unwrap();
    for _ in 0..LARGE / block.len() as u64 {
        std::io::Write::write_all(&mut file, &block).unwrap();
    }
    // Collecting is not what is measured.
    let endpoint = EndpointConfig { timing: Some(Timing::instant()), ..directory("large", tree.path()) };
    let deployment = Deployment::start(vec![endpoint], false);
    let (client, server) = (deployment.client("large"), &deployment.server);
    let url = url_path(&client, b"large");
    look(&deployment.gateway.http(), &(url_path(&client, b"") + "/"));
    let (_, brought) = server.by_hand(vec![Work::Fetch { files: vec![path(&client.client_id, &["large"])] }]);
    let content = brought[0].files[0].clone();
    let collected = deployment.gateway.verb("collect", &[&url]);
    assert!(collected.succeeded(), "collect: {}", collected.stderr);

    let raw: Vec<Duration> = (0..RAW_RUNS).map(|_| raw_calls(&deployment, &content)).collect();
    let flows = server.spent("large").flows;
    touch_memory(&server.state.path().join("touched"));
    let read = curl(&deployment, &url);
    assert_eq!(server.spent("large").flows, flows, "nothing is collected again");
    let again = curl(&deployment, &url);
    let rate = |took: Duration| format!("{:.0} MiB/s", LARGE as f64 / f64::from(PIECE) / took.as_secs_f64());
    report.row(
        "sequential read of a collected 1 GiB file, cold gateway cache (GET)",
        format!(
            "{}: {:.0} % of raw calls, {IN_FLIGHT} in parallel (median of {RAW_RUNS}: {}); read again {}",
            rate(read),
            100.0 * median(&raw).as_secs_f64() / read.as_secs_f64(),
            rate(median(&raw)),
            rate(again)
        ),
        ">= 80 % of raw calls",
        "a whole download before the first byte",
    );
}

/// Bytes that are written to the disk and removed again before the read.
const TOUCHED: u64 = 3 << 30;

/// The first touch of memory that a hypervisor has taken back costs more than all the rest (200 MiB/s on ours), and the local copy is
/// the only one in the comparison that needs new memory, in the page cache: so it is touched before.
fn touch_memory(path: &std::path::Path) {
    let block = vec![1; 1 << 20];
    let mut file = fs::File::create(path).unwrap();
    for _ in 0..TOUCHED / block.len() as u64 {
        std::io::Write::write_all(&mut file, &block).unwrap();
    }
    drop(file);
    fs::remove_file(path).unwrap();
}

/// All of the content, piece by piece, by the calls of the server's API that the gateway makes.
fn raw_calls(deployment: &Deployment, content: &FetchedContent) -> Duration {
    let server = &deployment.server;
    let started = Instant::now();
    let bytes: usize = server.runtime.block_on(async {
        let pieces =
            (0..LARGE).step_by(PIECE as usize).map(|offset| server.driver.read(&content.location, offset, PIECE));
        futures_util::stream::iter(pieces)
            .buffer_unordered(IN_FLIGHT)
            .map(|piece: vfs::Result<Bytes>| piece.unwrap().len())
            .fold(0, async |sum, length| sum + length)
            .await
    });
    assert_eq!(bytes as u64, LARGE);
    started.elapsed()
}

fn curl(deployment: &Deployment, url: &str) -> Duration {
    let ready = deployment.gateway.ready();
    let credentials = format!("{}:{}", ready.user.as_deref().unwrap_or(""), ready.password.as_deref().unwrap_or(""));
    let started = Instant::now();
    let mut command = Command::new("curl");
    command.args(["-sSf", "-o", "/dev/null", "-w", "%{size_download}", "-u", &credentials]);
    command.arg(format!("{}{}", ready.webdav.trim_end_matches('/'), url));
    let finished = crate::support::process::run(&mut command, Duration::from_secs(600)).expect("curl");
    assert_eq!(finished.text(), LARGE.to_string());
    started.elapsed()
}
