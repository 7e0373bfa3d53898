//! A load of HTTP and WebDAV, the same for every server: PROPFIND over large directories, a large file, small files on many connections, and
//! the page of a directory.
//!
//! `webdav ADDRESS FOLDER SECONDS [USER:PASSWORD]` prints one JSON line. `benches/webdav/run` runs it for several servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A bench measures real time.
#![allow(clippy::disallowed_methods)]

#[allow(dead_code)] // the floods use more of it
mod http;

use std::io;
use std::time::{Duration, Instant};

use http::{Connection, Target};

/// How often what takes a while is measured; the median counts.
const TIMES: usize = 5;
/// What takes longer than this is not measured again.
const LONG: Duration = Duration::from_secs(2);
/// Connections that ask for the small file, one request on its way on each.
const CONNECTIONS: usize = 64;
/// The properties that file managers name.
const NAMED: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/></D:prop></D:propfind>"#;
const ALL: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>"#;
/// What the tree has: directories of so many files, a file of 1 GiB, one of 4 KiB.
const DIRECTORIES: [(&str, usize); 2] = [("10k", 10_000), ("100k", 100_000)];
const LARGE: (&str, u64) = ("large", 1 << 30);
const SMALL: (&str, u64) = ("small", 4096);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (address, folder, seconds, login) = match &arguments[..] {
        [address, folder, seconds] => (address, folder, seconds, None),
        [address, folder, seconds, login] => (address, folder, seconds, Some(login.as_str())),
        _ => {
            eprintln!("usage: webdav ADDRESS FOLDER SECONDS [USER:PASSWORD] (see benches/webdav/run)");
            return;
        }
    };
    let target = Target::new(address, folder, login);
    let time = Duration::from_secs_f64(seconds.parse().expect("seconds"));

    let mut figures = Vec::new();
    let mut figure = |name: &str, value: f64| figures.push(format!("\"{name}\":{value:.0}"));
    for (directory, files) in DIRECTORIES {
        for (properties, body) in [("named", NAMED), ("all", ALL)] {
            let request = target.propfind(directory, body);
            let (took, first, bytes) = median(|| listing(&target, &request, files)).expect("PROPFIND");
            figure(&format!("{directory}_{properties}_us"), took);
            figure(&format!("{directory}_{properties}_first_us"), first);
            figure(&format!("{directory}_{properties}_bytes"), bytes);
        }
    }
    let page = target.page("10k");
    let (took, first, bytes) = median(|| whole(&target, &page)).expect("the page");
    figure("page_us", took);
    figure("page_first_us", first);
    figure("page_bytes", bytes);
    let large = target.get(LARGE.0);
    let (took, _, bytes) = median(|| whole(&target, &large)).expect("GET");
    assert_eq!(bytes as u64, LARGE.1, "the large file");
    figure("large_mb", bytes / took);
    figure("small", small_files(&target, time).expect("GET"));
    println!("{{{}}}", figures.join(","));
}

/// Microseconds to the last byte and to the first, and bytes of the body: the run of the median time, after one that does not count. What takes
/// long is not repeated as often.
fn median(work: impl Fn() -> io::Result<(f64, f64, f64)>) -> io::Result<(f64, f64, f64)> {
    work()?;
    let (started, mut runs) = (Instant::now(), Vec::new());
    while runs.len() < TIMES && (runs.is_empty() || started.elapsed() < LONG) {
        runs.push(work()?);
    }
    runs.sort_by(|one, other| one.0.total_cmp(&other.0));
    Ok(runs[runs.len() / 2])
}

/// One request on a connection of its own, its body read and thrown away.
fn whole(target: &Target, request: &[u8]) -> io::Result<(f64, f64, f64)> {
    let mut connection = Connection::open(target)?;
    let started = Instant::now();
    connection.send(request)?;
    let head = connection.head()?;
    let first = started.elapsed();
    let bytes = connection.body(&head, |_| {})?;
    assert!(matches!(head.status, 200 | 207), "status {}", head.status);
    Ok((started.elapsed().as_secs_f64() * 1e6, first.as_secs_f64() * 1e6, bytes as f64))
}

/// A listing, of which every entry is counted once.
fn listing(target: &Target, request: &[u8], files: usize) -> io::Result<(f64, f64, f64)> {
    let result = whole(target, request)?;
    // What counts the entries takes time of its own, so a second answer is counted, once.
    static COUNTED: std::sync::Mutex<Vec<Vec<u8>>> = std::sync::Mutex::new(Vec::new());
    let mut counted = COUNTED.lock().unwrap();
    if !counted.iter().any(|done| done == request) {
        let mut connection = Connection::open(target)?;
        connection.send(request)?;
        let head = connection.head()?;
        let mut body = Vec::new();
        connection.body(&head, |piece| body.extend_from_slice(piece))?;
        // Each response has one, and servers write the start of a response in many ways.
        let found = body.windows(6).filter(|window| window == b":href>").count() / 2;
        assert_eq!(found, files + 1, "entries of a listing");
        counted.push(request.to_vec());
    }
    Ok(result)
}

/// Answers per second over connections that are kept: each is read in turn and asks again at once, so that none ever waits for this end.
fn small_files(target: &Target, time: Duration) -> io::Result<f64> {
    let request = target.get(SMALL.0);
    let mut connections = (0..CONNECTIONS).map(|_| Connection::open(target)).collect::<io::Result<Vec<_>>>()?;
    for connection in &mut connections {
        connection.send(&request)?;
    }
    let (mut started, mut answered, mut warm) = (Instant::now(), 0_u64, false);
    loop {
        for connection in &mut connections {
            let head = match connection.head() {
                Ok(head) => head,
                // A server may close a connection between two answers: it costs him the time of a new one.
                Err(_) => {
                    *connection = Connection::open(target)?;
                    connection.send(&request)?;
                    connection.head()?
                }
            };
            let bytes = connection.body(&head, |_| {})?;
            assert!(head.status == 200 && bytes == SMALL.1, "status {}, {bytes} bytes", head.status);
            // So may the one that is written to: the next answer tells.
            if head.closes || connection.send(&request).is_err() {
                *connection = Connection::open(target)?;
                connection.send(&request)?;
            }
        }
        answered += CONNECTIONS as u64;
        if !warm && started.elapsed() > time / 10 {
            (started, answered, warm) = (Instant::now(), 0, true);
        } else if warm && started.elapsed() > time {
            return Ok(answered as f64 / started.elapsed().as_secs_f64());
        }
    }
}
