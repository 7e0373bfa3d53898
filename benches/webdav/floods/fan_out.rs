//! What Windows' Explorer asks when a person opens a folder: the folder, `desktop.ini`, and each child twice, over six connections.

use std::io;
use std::time::{Duration, Instant};

use crate::http::{Connection, Target};
use crate::scene::{CHILDREN, Scene};

const CONNECTIONS: usize = 6;

/// How long the whole fan-out took, in milliseconds.
pub struct FanOuts {
    pub median: f64,
    pub worst: f64,
    pub made: usize,
    pub failed: usize,
}

/// Opens the folder again and again, with connections that are kept as Explorer keeps them, and new ones every time for half of them.
pub fn measure(scene: &Scene, time: Duration) -> FanOuts {
    let target = scene.target();
    let started = Instant::now();
    let (mut took, mut made, mut failed) = (Vec::new(), 0, 0);
    while started.elapsed() < time {
        made += 1;
        match once(&target) {
            Ok(one) => took.push(one.as_secs_f64() * 1e3),
            Err(_) => failed += 1,
        }
        // A person, not a load.
        std::thread::sleep(Duration::from_millis(20));
    }
    took.sort_unstable_by(f64::total_cmp);
    let at = |share: usize| took.get((took.len() * share / 100).min(took.len().saturating_sub(1))).copied();
    FanOuts { median: at(50).unwrap_or(f64::NAN), worst: at(99).unwrap_or(f64::NAN), made, failed }
}

fn once(target: &Target) -> io::Result<Duration> {
    let mut requests = vec![(target.propfind("opened", ""), 207)];
    for _ in 0..2 {
        let child = |number| target.propfind_alone(&format!("opened/child%20{number}.txt"));
        requests.extend((0..CHILDREN).map(|number| (child(number), 207)));
    }
    let started = Instant::now();
    let mut connections = (0..CONNECTIONS).map(|_| Connection::open(target)).collect::<io::Result<Vec<_>>>()?;
    for group in requests.chunks(CONNECTIONS) {
        for (connection, (request, _)) in connections.iter_mut().zip(group) {
            connection.send(request)?;
        }
        for (connection, (_, status)) in connections.iter_mut().zip(group) {
            let head = connection.head()?;
            connection.body(&head, |_| {})?;
            if head.status != *status {
                return Err(io::Error::other(format!("status {}", head.status)));
            }
        }
    }
    Ok(started.elapsed())
}
