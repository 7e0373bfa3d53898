//! What hostile and idle clients cost: the memory of the gateway, and how long another client's cached calls take meanwhile.
//!
//! `cargo bench --bench nfs_floods [PART…]` runs the real program on a simulated deployment, over the loopback; every flood is bounded in number, rate and
//! time. Figures are of `serve` alone: the deployment is in this process.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A bench measures real time.
#![allow(clippy::disallowed_methods)]

#[path = "../call.rs"]
#[allow(dead_code)]
mod call;
#[path = "../../floods/flood.rs"]
mod flood;
mod floods;
mod scene;
#[path = "../../../tests/behaviour/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use scene::Scene;

/// A flood: what it is called, and what it does until it is told to end; it gives what it has done.
type Flood = fn(&Scene, Arc<AtomicBool>) -> String;

const FLOODS: [(&str, Flood); 7] = [
    ("nothing", floods::nothing),
    ("headers of 2 GiB", floods::headers),
    ("garbage", floods::garbage),
    ("READ of 1 GiB", floods::greedy),
    ("half-open", floods::half_open),
    ("slow readers", floods::slow),
    ("idle and held", floods::idle_and_held),
];
/// How long each is measured, once it has had the time to build up.
const TIME: Duration = Duration::from_secs(6);
const BUILD_UP: Duration = Duration::from_secs(4);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let scene = Scene::start();
    println!("| flood | what it did | largest RSS | call beside it: median, 99 % | median against nothing before it |");
    println!("|---|---|---|---|---|");
    for (name, flood) in FLOODS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let before = latency(&scene, TIME / 2);
        scene.memory().forget_peak();
        let stop = Arc::new(AtomicBool::new(false));
        let (during, done) = std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(&scene, stop.clone()));
            std::thread::sleep(BUILD_UP);
            let during = latency(&scene, TIME);
            stop.store(true, Ordering::Relaxed);
            (during, flood.join().expect("the flood"))
        });
        println!(
            "| {name} | {done} | {} MB | {:.0} µs, {:.0} µs | {:.2} |",
            scene.memory().peak_kib() / 1024,
            during.0,
            during.1,
            during.0 / before.0
        );
    }
    println!("RSS at the end: {} MB", scene.memory().rss_kib() / 1024);
}

/// Median and 99th percentile of cached calls on one connection, one after the other, in microseconds.
fn latency(scene: &Scene, time: Duration) -> (f64, f64) {
    let (mut connection, file) = scene.client();
    let started = Instant::now();
    let mut took = Vec::new();
    while started.elapsed() < time {
        let call = Instant::now();
        connection.size(&file).expect("GETATTR");
        took.push(call.elapsed());
        let call = Instant::now();
        connection.read(&file, 0, 4096).expect("READ");
        took.push(call.elapsed());
        // A person's client, not a load of its own.
        std::thread::sleep(Duration::from_micros(500));
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1e6;
    (at(50), at(99))
}
