//! Huge trees and directories: five million entries in one flow, a million entries in one directory.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use simulator::{EndpointConfig, Timing, Tree};

use crate::deployment::{Deployment, directory, look};
use crate::report::{Report, time};
use crate::support::gateway::{url_path, verb};

const DIRECTORIES: u32 = 5_000;
const FILES: u32 = 1_000;
/// Entries of the one directory.
const WIDE: u32 = 1_000_000;
/// How long a flow of so many rows may take.
const LIMIT: Duration = Duration::from_secs(1_800);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Directories of the tree that comes as fast as a real endpoint lists.
const PACED: u32 = 50;

fn even(directories: u32, files: u32, timing: Timing) -> Deployment {
    let tree = Tree::Even { directories, files };
    let endpoint = EndpointConfig { tree, timing: Some(timing), ..directory("huge", "/".as_ref()) };
    Deployment::start(vec![endpoint], false)
}

/// A tree that was listed in one flow.
struct Listed {
    /// From the beginning to the end.
    took: Duration,
    /// From the moment that the server had all of the first directory to the moment that it was served.
    first_after: Duration,
}

/// Each with a gateway of its own, so that the memory is that of one.
pub fn measure(report: &mut Report) {
    tree(report);
    paced(report);
    one_directory(report);
}

/// Lists the whole tree by `refresh --depth 1`, and looks into its first directory meanwhile.
fn list(deployment: &Deployment, directories: u32) -> Listed {
    let (client, server) = (deployment.client("huge"), &deployment.server);
    let before = known(deployment);
    let root = url_path(&client, b"");
    let state = server.state.path().join("gateway").display().to_string();
    let started = Instant::now();
    let (existed, served, took) = thread::scope(|scope| {
        let existed = scope.spawn(|| {
            until(|| server.spent("huge").rows >= (directories + FILES + 1).into());
            started.elapsed()
        });
        let refreshed =
            scope.spawn(|| (verb(&["refresh", &root, "--depth", "1", "--state", &state], LIMIT), started.elapsed()));
        // Who looks before the gateway has any of it gets a flow of his own: he does not wait for somebody's tree.
        until(|| known(deployment) > before + 1);
        let (_, names) = look(&deployment.gateway.http(), &url_path(&client, b"d0000000/"));
        let served = started.elapsed();
        assert_eq!(names.len(), FILES as usize);
        let (refreshed, took) = refreshed.join().expect("refreshing");
        assert!(refreshed.succeeded(), "refresh: {}", refreshed.stderr);
        (existed.join().expect("watching"), served, took)
    });
    let spent = server.spent("huge");
    // Each directory has a row of its own besides.
    let rows = u64::from(directories) * u64::from(FILES + 1) + u64::from(directories + 1);
    assert_eq!((spent.flows, spent.rows), (1, rows));
    Listed { took, first_after: served.saturating_sub(existed) }
}

fn tree(report: &mut Report) {
    let deployment = even(DIRECTORIES, FILES, Timing::instant());
    let (client, server) = (deployment.client("huge"), &deployment.server);
    let idle = resident(&deployment);
    let listed = list(&deployment, DIRECTORIES);
    let peak = resident(&deployment);
    for number in (0..DIRECTORIES).step_by(50) {
        let (_, names) = look(&deployment.gateway.http(), &url_path(&client, format!("d{number:07}/").as_bytes()));
        assert_eq!(names.len(), FILES as usize, "d{number:07}");
    }
    assert_eq!(server.spent("huge").flows, 1, "all of it came with the one flow");
    report.row(
        format!("{} entries in {DIRECTORIES} directories listed in one flow (`refresh --depth 1`)", DIRECTORIES * (FILES + 1)),
        format!(
            "{}; at most {peak} MB resident (idle {idle} MB; {} MB after looks into 100 of the directories); the first directory served {} after its rows existed",
            time(listed.took), resident(&deployment), time(listed.first_after)
        ),
        "< 250 MB; < 1 s",
        "",
    );
}

fn paced(report: &mut Report) {
    let deployment = even(PACED, FILES, Timing::measured());
    let listed = list(&deployment, PACED);
    report.row(
        format!("the same of {PACED} directories, at the measured pace of an endpoint"),
        format!(
            "{}; the first directory served {} after its rows existed",
            time(listed.took),
            time(listed.first_after)
        ),
        "< 1 s",
        "",
    );
}

fn one_directory(report: &mut Report) {
    let deployment = even(1, WIDE, Timing::instant());
    let client = deployment.client("huge");
    let idle = resident(&deployment);
    let (took, names) = look(&deployment.gateway.http(), &url_path(&client, b"d0000000/"));
    assert_eq!(names.len(), WIDE as usize);
    drop(names);
    let peak = resident(&deployment);
    let (again, _) = look(&deployment.gateway.http(), &url_path(&client, b"d0000000/"));
    report.row(
        format!("one directory of {WIDE} entries, uncached (PROPFIND)"),
        format!(
            "{}, flow and all; at most {peak} MB resident (idle {idle} MB); again {}, {} MB",
            time(took),
            time(again),
            resident(&deployment)
        ),
        "",
        "",
    );
}

/// How many directories the gateway knows.
fn known(deployment: &Deployment) -> u64 {
    let told = deployment.gateway.http().get("/-/api/v1/status");
    let status: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    status["cache"]["directories"].as_u64().unwrap_or(0)
}

#[track_caller]
fn until(happened: impl Fn() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < LIMIT, "the flow does not come on");
        thread::sleep(LOOK_EVERY);
    }
}

/// The most memory that the gateway ever had resident, in MB.
fn resident(deployment: &Deployment) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", deployment.gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024 / 1_000_000
}
