//! The naive way: one flow per directory, one after another, each awaited.

use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::by_hand::path;
use crate::deployment::{Server, directory};
use crate::report::{Report, median, time};

/// So many flows are really made.
const MADE: usize = 13;

/// What a flow costs while there are tokens, how many those are, and what each further one costs.
pub struct Naive {
    with_token: Duration,
    tokens: u32,
    without: Duration,
}

impl Naive {
    /// Time of so many flows one after another.
    pub fn total(&self, flows: u32) -> Duration {
        let quick = flows.min(self.tokens);
        self.with_token * quick + self.without * (flows - quick)
    }

    /// The same in words.
    pub fn cost(&self, flows: u32) -> String {
        format!("{flows} flows, {} (computed)", time(self.total(flows)))
    }
}

/// Measured once in a run: a default client with a full bucket lists directories one after another.
pub fn naive() -> &'static Naive {
    static NAIVE: OnceLock<Naive> = OnceLock::new();
    NAIVE.get_or_init(|| {
        eprintln!("flows: the naive way, {MADE} listings one after another");
        let tree = TempDir::new().unwrap();
        let names: Vec<String> = (0..MADE).map(|number| format!("{number}")).collect();
        for name in &names {
            std::fs::create_dir(tree.path().join(name)).unwrap();
            std::fs::write(tree.path().join(name).join("file"), "").unwrap();
        }
        let server = Server::start(vec![directory("naive", tree.path())], false);
        let client = server.client_id("naive");
        let times: Vec<Duration> = names.iter().map(|name| server.list(path(&client, &[name]), 0).0).collect();
        let (quick, slow): (Vec<Duration>, Vec<Duration>) = times.iter().partition(|time| time.as_secs() < 5);
        let without = slow.iter().copied().max().expect("the bucket runs empty");
        Naive { with_token: median(&quick), tokens: quick.len() as u32, without }
    })
}

/// The row about it.
pub fn measure(report: &mut Report) {
    let naive = naive();
    let reached = format!("{} flows at {}, then {} each", naive.tokens, time(naive.with_token), time(naive.without));
    report.row(
        format!("{MADE} listings by hand, one after another"),
        reached,
        "",
        "measured; the other naive figures follow from it",
    );
}
