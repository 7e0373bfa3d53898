//! Looks into large files: a huge one that nobody collected, and a hive that a parser reads here and there.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vfs::backend::Work;

use crate::by_hand::path;
use crate::deployment::{Deployment, directory, look};
use crate::report::{Report, median, ratio, time};
use crate::support::gateway::url_path;
use crate::support::http::Http;
use crate::support::tree::noise;

const HUGE: u64 = 10 << 30;
const HIVE: u64 = 200 << 20;
const LOOKS: u64 = 200;

/// One GET of a range; how long it took.
#[track_caller]
fn get(http: &Http, path: &str, offset: u64, length: u64) -> (Duration, Vec<u8>) {
    let started = Instant::now();
    let range = format!("bytes={offset}-{}", offset + length - 1);
    let response = http.request("GET", path, &[("Range", &range)], b"").unwrap();
    assert_eq!(response.status, 206, "{path} {range}: {}", response.text());
    (started.elapsed(), response.body)
}

/// With our artifacts installed.
pub fn measure(report: &mut Report) {
    let tree = TempDir::new().unwrap();
    let huge = File::create(tree.path().join("huge.img")).unwrap();
    huge.set_len(HUGE).unwrap();
    huge.write_all_at(&noise(1 << 20, 1), 0).unwrap();
    let hive = File::create(tree.path().join("hive")).unwrap();
    for offset in (0..HIVE).step_by(8 << 20) {
        hive.write_all_at(&noise(8 << 20, offset), offset).unwrap();
    }
    let endpoints = vec![directory("looks", tree.path()), directory("by-hand", tree.path())];
    let deployment = Deployment::start(endpoints, true);
    let (client, server) = (deployment.client("looks"), &deployment.server);
    let http = deployment.gateway.http();
    look(&http, &(url_path(&client, b"") + "/"));
    let by_hand = server.client_id("by-hand");
    let one = |name: &str, ranges| Work::Ranges { file: path(&by_hand, &[name]), ranges };
    let (round_trip, _) = server.by_hand(vec![one("huge.img", vec![(0, 65_536)])]);

    let (before, bytes) = (server.spent("looks"), server.uploaded("looks"));
    let (took, content) = get(&http, &url_path(&client, b"huge.img"), 0, 65_536);
    assert!(content == noise(1 << 20, 1)[..65_536]);
    report.row(
        "the first 64 KiB of a 10 GiB uncollected file",
        format!(
            "{}, {} of one flow by hand ({}); {}; {} MiB moved",
            time(took),
            ratio(took, round_trip),
            time(round_trip),
            server.spent("looks").since(before),
            (server.uploaded("looks") - bytes) >> 20
        ),
        "<= 2 x one flow; <= 8 MiB",
        "10 GiB collected, or refused",
    );

    let (whole, _) = server.by_hand(vec![Work::Fetch { files: vec![path(&by_hand, &["hive"])] }]);
    let (before, bytes, started) = (server.spent("looks"), server.uploaded("looks"), Instant::now());
    let mut looks = Vec::new();
    for number in 0..LOOKS {
        // As a parser jumps: the header, then cells all over the file.
        let offset = number * 7_919 * 4_096 % (HIVE - 4_096);
        let (took, content) = get(&http, &url_path(&client, b"hive"), offset, 4_096);
        let mut truth = vec![0; 4_096];
        hive_bytes(&tree, offset, &mut truth);
        assert!(content == truth, "at {offset}");
        looks.push(took);
    }
    let took = started.elapsed();
    report.row(
        format!("{LOOKS} random reads of 4 KiB over an uncollected 200 MiB hive"),
        format!(
            "{}, {} of collecting it whole by hand ({}); {}; {} MiB moved; median read {}",
            time(took),
            ratio(took, whole),
            time(whole),
            server.spent("looks").since(before),
            (server.uploaded("looks") - bytes) >> 20,
            time(median(&looks))
        ),
        "<= 1.3 x",
        "200 MiB collected before the first byte",
    );
}

fn hive_bytes(tree: &TempDir, offset: u64, bytes: &mut [u8]) {
    File::open(tree.path().join("hive")).unwrap().read_exact_at(bytes, offset).unwrap();
}
