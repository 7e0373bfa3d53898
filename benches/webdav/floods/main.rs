//! What hostile, slow and waiting clients cost: the memory of the gateway, and how long the requests of another client take meanwhile.
//!
//! `cargo bench --workspace --bench webdav_floods [PART…]` runs the real program on a simulated deployment, over the loopback; every flood is
//! bounded in number, rate and time. Figures are of `serve` alone: the deployment is in this process.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A bench measures real time.
#![allow(clippy::disallowed_methods)]

mod fan_out;
#[path = "../../floods/flood.rs"]
mod flood;
mod floods;
#[path = "../http.rs"]
#[allow(dead_code)]
mod http;
mod scene;
#[path = "../../../tests/behaviour/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scene::Scene;

/// A flood: what it is called, and what it does until it is told to end; it gives what it has done.
type Flood = fn(&Scene, Arc<AtomicBool>) -> String;

const FLOODS: [(&str, Flood); 8] = [
    ("nothing", floods::nothing),
    ("nested XML", floods::nested),
    ("1,000 ranges", floods::ranges),
    ("header bombs", floods::headers),
    ("slow headers", floods::slow_headers),
    ("slow bodies", floods::slow_bodies),
    ("listings of 100,000", floods::listings),
    ("held", floods::held),
];
/// How long each is measured, once it has had the time to build up.
const TIME: Duration = Duration::from_secs(5);
const BUILD_UP: Duration = Duration::from_secs(4);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let scene = Scene::start();
    println!(
        "| flood | what it did | largest RSS | 45 requests of Explorer: median, 99 % | against just before | failed |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, flood) in FLOODS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let before = fan_out::measure(&scene, TIME / 2);
        scene.memory().forget_peak();
        let stop = Arc::new(AtomicBool::new(false));
        let (during, done) = std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(&scene, stop.clone()));
            std::thread::sleep(BUILD_UP);
            let during = fan_out::measure(&scene, TIME);
            stop.store(true, Ordering::Relaxed);
            (during, flood.join().expect("the flood"))
        });
        println!(
            "| {name} | {done} | {} MB | {:.1} ms, {:.1} ms | {:.2} | {} of {} |",
            scene.memory().peak_kib() / 1024,
            during.median,
            during.worst,
            during.median / before.median,
            during.failed,
            during.made
        );
    }
    println!("RSS at the end: {} MB", scene.memory().rss_kib() / 1024);
}
