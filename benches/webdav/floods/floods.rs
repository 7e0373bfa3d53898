//! The floods. Each keeps a rate, so that what is measured is the gateway and not two programs that fight for the processors.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::flood::{Pace, connect};
use crate::http::Connection;
use crate::scene::{Scene, UNLISTED};

const SLOW: u32 = 5_000;
const HELD: u32 = 1_000;

pub fn nothing(_: &Scene, stop: Arc<AtomicBool>) -> String {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
    "nothing".into()
}

/// 21 KB of elements in elements, of a length that is announced and of one that is not.
pub fn nested(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let body = format!("{}{}", "<a>".repeat(3_000), "</a>".repeat(3_000));
    let head = format!("PROPFIND {} HTTP/1.1\r\n{}Depth: 0\r\n", scene.folder, fields(scene));
    let whole = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes();
    attempts(scene, &stop, 500, move |number| if number % 2 == 0 { whole.clone() } else { chunked.clone() })
}

/// A thousand ranges of a file of 8 MiB, each all of it.
pub fn ranges(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let ranges = vec!["0-"; 1_000].join(",");
    let request = format!("GET {}file HTTP/1.1\r\n{}Range: bytes={ranges}\r\n\r\n", scene.folder, fields(scene));
    let (mut asked, mut most, target) = (0, 0, scene.target());
    let mut connection = Connection::open(&target).expect("a connection");
    while !stop.load(Ordering::Relaxed) {
        connection.send(request.as_bytes()).expect("GET");
        let head = connection.head().expect("an answer");
        most = most.max(connection.body(&head, |_| {}).expect("a body"));
        asked += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    format!("{asked} requests, answered with {} MiB at most", most >> 20)
}

/// Headers of 1 MiB, and thousands of small ones.
pub fn headers(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let one = format!("GET / HTTP/1.1\r\n{}X: {}\r\n\r\n", fields(scene), "x".repeat(1 << 20)).into_bytes();
    let many: String = (0..20_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\n{}{many}\r\n", fields(scene)).into_bytes();
    attempts(scene, &stop, 200, move |number| if number % 2 == 0 { one.clone() } else { many.clone() })
}

/// Opens connections at a rate, sends each these bytes, and waits up to a second for its answer.
fn attempts(scene: &Scene, stop: &AtomicBool, rate: u32, mut bytes: impl FnMut(u32) -> Vec<u8>) -> String {
    let address = scene.address();
    let (done, refused) = scene.runtime.block_on(async {
        let mut attempts = tokio::task::JoinSet::new();
        let mut pace = Pace::new(rate);
        while !stop.load(Ordering::Relaxed) {
            let number = pace.next().await;
            let bytes = bytes(number);
            attempts.spawn(async move {
                let Ok(mut stream) = connect(address, number).await else { return false };
                // The answer may come, and the connection be closed, before all was taken.
                let _ = stream.write_all(&bytes).await;
                let mut answer = [0; 12];
                let read = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await;
                match read {
                    Ok(Ok(_)) => answer.starts_with(b"HTTP/1.1 4"),
                    Ok(Err(_)) => true,
                    Err(_) => false,
                }
            });
        }
        let ended = attempts.join_all().await;
        (ended.len(), ended.iter().filter(|refused| **refused).count())
    });
    format!("{done} connections, {refused} of them refused within 1 s")
}

/// Headers that come byte by byte and never end.
pub fn slow_headers(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    dribble(scene, &stop, format!("GET / HTTP/1.1\r\n{}X: ", fields(scene)))
}

/// Bodies that come byte by byte and never end.
pub fn slow_bodies(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let head = format!("PROPFIND / HTTP/1.1\r\n{}Content-Length: 10000\r\n\r\n", fields(scene));
    dribble(scene, &stop, head)
}

fn dribble(scene: &Scene, stop: &AtomicBool, start: String) -> String {
    let address = scene.address();
    let (opened, alive) = scene.runtime.block_on(async {
        let mut open = Vec::new();
        let mut pace = Pace::new(SLOW / 3);
        for number in 0..SLOW {
            pace.next().await;
            if let Ok(mut stream) = connect(address, number).await {
                let _ = stream.write_all(start.as_bytes()).await;
                open.push(stream);
            }
        }
        let opened = open.len();
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for stream in &open {
                let _ = stream.try_write(b"x");
            }
        }
        (opened, open.iter().filter(|stream| stream.try_write(b"x").is_ok()).count())
    });
    format!("{opened} connections, a byte a second each; {alive} of them still open at the end")
}

/// Listings of a large directory, one after the other on two connections.
pub fn listings(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let target = scene.target();
    let count: usize = std::thread::scope(|scope| {
        let read = || {
            let mut connection = Connection::open(&target).expect("a connection");
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                connection.send(&target.propfind("large", "")).expect("PROPFIND");
                let head = connection.head().expect("an answer");
                connection.body(&head, |_| {}).expect("a body");
                count += 1;
                std::thread::sleep(Duration::from_millis(300));
            }
            count
        };
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        readers.into_iter().map(|reader| reader.join().expect("a reader")).sum()
    });
    format!("{count} listings of 100,000 entries")
}

/// Requests for directories that the endpoint does not list.
pub fn held(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    scene.simulator.handle().stall_next_flows(10_000);
    let address = scene.address();
    scene.runtime.block_on(async {
        let mut open = Vec::new();
        for number in 0..HELD {
            let mut stream = connect(address, number).await.expect("a connection");
            let directory = format!("{}waits/{}", scene.folder, number as usize % UNLISTED);
            let request = format!("PROPFIND {directory} HTTP/1.1\r\n{}Depth: 1\r\n\r\n", fields(scene));
            stream.write_all(request.as_bytes()).await.expect("PROPFIND");
            open.push(stream);
        }
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let waiting = |stream: &TcpStream| {
            stream.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        let waiting = open.iter().filter(|stream| waiting(stream)).count();
        format!("{HELD} requests for {UNLISTED} directories, {waiting} of them held to the end")
    })
}

/// What every request needs.
fn fields(scene: &Scene) -> String {
    format!("Host: {}\r\nAuthorization: {}\r\n", scene.address(), scene.authorization)
}
