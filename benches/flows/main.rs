//! What work costs in deliveries and in waiting, on the simulated deployment with the measured timing or a real one: the real program,
//! real clients, and beside each figure what the naive way costs.
//!
//! `benches/flows/run [real] [PART…]` runs it and ends all that it started. Each part prints its rows when it has them, the table comes last.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A bench measures real time.
#![allow(clippy::disallowed_methods)]

mod by_hand;
mod contents;
mod crowd;
mod deployment;
mod huge;
mod naive;
mod person;
mod ranges;
mod real;
mod report;
#[path = "../../tests/behaviour/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;
mod walk;

use report::Report;

/// A part of the bench: its name, and what it measures.
type Part = (&'static str, fn(&mut Report));

const PARTS: [Part; 8] = [
    ("walk", walk::measure),
    ("person", person::measure),
    ("crowd", crowd::measure),
    ("copy", contents::copy),
    ("ranges", ranges::measure),
    ("sequential", contents::sequential),
    ("huge", huge::measure),
    ("naive", naive::measure),
];

fn main() {
    let mut wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(real) = wanted.iter().position(|wanted| wanted == "real") {
        wanted.remove(real);
        let obstacle = support::velociraptor::obstacle();
        let obstacle = obstacle.or_else(|| (!support::process::is_root()).then(|| "its clients need root".to_owned()));
        if let Some(why) = obstacle {
            eprintln!("flows: no real deployment: {why}");
            std::process::exit(2);
        }
        deployment::REAL.store(true, std::sync::atomic::Ordering::Relaxed);
    }
    let names = PARTS.map(|(name, _)| name);
    if let Some(unknown) = wanted.iter().find(|wanted| !names.contains(&wanted.as_str())) {
        eprintln!("flows: no part {unknown}; there are {}", names.join(", "));
        std::process::exit(2);
    }
    let mut report = Report::default();
    for (name, measure) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            eprintln!("flows: {name}");
            measure(&mut report);
        }
    }
    println!("{report}");
}
