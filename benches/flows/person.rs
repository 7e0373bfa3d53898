//! A person who clicks through a Windows machine that nobody has looked at before: 50 clicks, one every 5 s.
//!
//! Where he clicks follows from a seed: 60 % into a directory of the one he is in, 20 % into one beside it, 10 % up and down into
//! another one, 10 % to a place up to five levels below the drive that he knows by name. The way is found beforehand on a twin
//! of the machine that answers at once.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use simulator::Timing;
use vfs::FileType;

use crate::by_hand::path;
use crate::deployment::{Deployment, REAL, Server, Spent, look, windows};
use crate::naive::naive;
use crate::report::{Report, median, time};
use crate::support::gateway::url_path;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;
const CLICKS: usize = 50;
const EVERY: Duration = Duration::from_secs(5);
/// A longer wait than this is felt as one.
const STALL: Duration = Duration::from_secs(2);
/// Tries to find a directory that can be entered.
const TRIES: usize = 20;

/// The row. The persons do not meet: each has a machine of his own.
pub fn measure(report: &mut Report) {
    if REAL.load(Ordering::Relaxed) {
        return report.skip("a person", "there is no Windows machine here");
    }
    let hostname = |seed: u64| format!("desk-{seed}");
    let twin = Server::start(SEEDS.map(|seed| windows(&hostname(seed), Timing::instant())).collect(), false);
    let ways: Vec<Vec<Vec<String>>> = SEEDS.map(|seed| Planner::new(&twin, &hostname(seed), seed).way()).collect();
    drop(twin);
    let machines = SEEDS.map(|seed| windows(&hostname(seed), Timing::measured()));
    let deployment = Deployment::start(machines.collect(), false);
    let persons: Vec<Vec<Click>> = std::thread::scope(|scope| {
        let persons = ways.iter().zip(SEEDS).map(|(way, seed)| {
            let (deployment, hostname) = (&deployment, hostname(seed));
            scope.spawn(move || click(deployment, &hostname, way))
        });
        persons.collect::<Vec<_>>().into_iter().map(|person| person.join().unwrap()).collect()
    });
    for (seed, clicks) in SEEDS.zip(&persons) {
        eprintln!("flows: the clicks of person {seed}");
        for click in clicks {
            eprintln!("  {:>8}  {:>5} names  {}", time(click.took), click.names, click.path);
        }
    }
    let times: Vec<Duration> = persons.iter().flatten().map(|click| click.took).collect();
    let (stalls, worst) =
        (times.iter().filter(|time| **time > STALL).count(), times.iter().max().copied().unwrap_or_default());
    let spent: Vec<Spent> = SEEDS.map(|seed| deployment.server.spent(&hostname(seed))).collect();
    let each =
        |of: fn(&Spent) -> u64| spent.iter().map(of).map(|count| count.to_string()).collect::<Vec<_>>().join(", ");
    let (rows, shown) = (
        spent.iter().map(|spent| spent.rows).sum::<u64>(),
        persons.iter().flatten().map(|click| click.names).sum::<usize>(),
    );
    report.row(
        format!("a person: {CLICKS} clicks, one every {} s; {} persons", EVERY.as_secs(), persons.len()),
        format!(
            "median {}, worst {}, {stalls} of {} over {}; flows {}; deliveries {}; {:.1} rows listed per row shown",
            time(median(&times)),
            time(worst),
            times.len(),
            time(STALL),
            each(|spent| spent.flows),
            each(|spent| spent.deliveries.unwrap_or_default()),
            rows as f64 / shown as f64
        ),
        "median < 50 ms, worst < 2 s, no 30 s stall",
        format!("{}: stuck after ten clicks", naive().cost(CLICKS as u32)),
    );
}

/// One look, and how long it took.
struct Click {
    path: String,
    took: Duration,
    names: usize,
}

fn click(deployment: &Deployment, hostname: &str, way: &[Vec<String>]) -> Vec<Click> {
    let (client, http) = (deployment.client(hostname), deployment.gateway.http());
    let started = Instant::now();
    let clicks = way.iter().zip(0..).map(|(place, number)| {
        // A stall makes him late, not quicker.
        std::thread::sleep((started + EVERY * number).saturating_duration_since(Instant::now()));
        let path = place.join("/");
        let (took, names) = look(&http, &(url_path(&client, path.as_bytes()) + "/"));
        Click { path, took, names: names.len() }
    });
    clicks.collect()
}

/// Finds a way through the twin.
struct Planner<'a> {
    server: &'a Server,
    client: String,
    state: u64,
}

impl Planner<'_> {
    fn new<'a>(server: &'a Server, hostname: &str, seed: u64) -> Planner<'a> {
        Planner { server, client: server.client_id(hostname), state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    fn random(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % below.max(1) as u64) as usize
    }

    /// The directories in a place; `None` if it cannot be entered.
    fn directories(&self, place: &[String]) -> Option<Vec<String>> {
        let (_, brought) = self.server.list(path(&self.client, place), 0);
        let rows = brought.listings.into_iter().next()?;
        let directories = rows.iter().filter(|row| row.file_type() == FileType::Directory);
        Some(directories.map(|row| row.name().to_owned()).collect())
    }

    /// A directory of `place` that can be entered.
    fn child(&mut self, place: &[String]) -> Option<Vec<String>> {
        let directories = self.directories(place)?;
        (0..TRIES.min(directories.len())).find_map(|_| {
            let name = directories[self.random(directories.len())].clone();
            let child = [place, &[name]].concat();
            self.directories(&child).map(|_| child)
        })
    }

    fn way(mut self) -> Vec<Vec<String>> {
        let drive = vec!["C:".to_owned()];
        let mut way = vec![drive.clone()];
        while way.len() < CLICKS {
            let here = way[way.len() - 1].clone();
            let above = here[..here.len().max(2) - 1].to_vec();
            match self.random(10) {
                0..6 => way.extend(self.child(&here).or_else(|| self.child(&above))),
                6..8 => way.extend(self.child(&above)),
                8 => {
                    way.push(above.clone());
                    way.extend(self.child(&above));
                }
                _ => {
                    let mut place = drive.clone();
                    for _ in 0..1 + self.random(5) {
                        place = self.child(&place).unwrap_or(place);
                    }
                    way.push(place);
                }
            }
        }
        way.truncate(CLICKS);
        way
    }
}
