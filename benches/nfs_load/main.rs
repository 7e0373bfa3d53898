//! A load of NFSv3 calls on one connection, the same for every server: pipelined GETATTR of one file, and READs of 1 MiB.
//!
//! `nfs_load HOST NFS_PORT MOUNT_PORT EXPORT PATH SECONDS` prints one JSON line. `benches/against-ganesha` runs it for two servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A bench measures real time.
#![allow(clippy::disallowed_methods)]

mod call;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use call::{Connection, Handle, Reply};

/// Calls that wait for an answer at any moment.
const PIPELINE: u32 = 256;
/// Calls that leave in one write.
const BATCH: u32 = 64;
/// Bytes of a READ.
const CHUNK: u32 = 1 << 20;
/// READs that wait for an answer at any moment.
const READS: u32 = 4;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [host, nfs, mount, export, path, seconds] = &arguments[..] else {
        eprintln!("usage: nfs_load HOST NFS_PORT MOUNT_PORT EXPORT PATH SECONDS (see benches/against-ganesha)");
        return;
    };
    let time = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let port = |text: &str| text.parse::<u16>().expect("a port");
    let root = Connection::open(host, port(mount)).and_then(|mut connection| connection.mount(export)).expect("MNT");
    let mut connection = Connection::open(host, port(nfs)).expect("the NFS service");
    let mut file = root;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        file = connection.patiently(|connection| connection.lookup(&file, name)).expect("LOOKUP");
    }
    let size = connection.patiently(|connection| connection.size(&file)).expect("GETATTR");
    // Once through, so that both servers answer from memory.
    for chunk in 0..size.div_ceil(u64::from(CHUNK)) {
        connection.patiently(|connection| connection.read(&file, chunk * u64::from(CHUNK), CHUNK)).expect("READ");
    }
    let attributes = attributes_per_second(&mut connection, &file, time).expect("GETATTR");
    let bytes = bytes_per_second(&mut connection, &file, size, time).expect("READ");
    println!("{{\"getattr_per_second\":{attributes:.0},\"read_mib_per_second\":{:.0}}}", bytes / f64::from(CHUNK));
}

/// GETATTR answers per second, with `PIPELINE` calls on their way.
fn attributes_per_second(connection: &mut Connection, file: &Handle, time: Duration) -> io::Result<f64> {
    let mut batch = call::GetAttrBatch::new(file, BATCH);
    let (started, mut waiting, mut answered) = (Instant::now(), 0, 0_u64);
    while started.elapsed() < time {
        while waiting + BATCH <= PIPELINE {
            let calls = batch.next();
            connection.stream.get_mut().write_all(calls)?;
            waiting += BATCH;
        }
        for _ in 0..BATCH {
            connection.skip_good_reply()?;
        }
        (waiting, answered) = (waiting - BATCH, answered + u64::from(BATCH));
    }
    let took = started.elapsed().as_secs_f64();
    for _ in 0..waiting {
        connection.skip_good_reply()?;
    }
    Ok(answered as f64 / took)
}

/// Payload bytes of READs per second, with `READS` calls on their way, over and over the whole file.
fn bytes_per_second(connection: &mut Connection, file: &Handle, size: u64, time: Duration) -> io::Result<f64> {
    let chunks = (size / u64::from(CHUNK)).max(1);
    let (started, mut asked, mut bytes) = (Instant::now(), 0_u64, 0_u64);
    for _ in 0..READS {
        connection.send_read(file, (asked % chunks) * u64::from(CHUNK), CHUNK)?;
        asked += 1;
    }
    while started.elapsed() < time {
        bytes += u64::from(connection.skip_read()?);
        connection.send_read(file, (asked % chunks) * u64::from(CHUNK), CHUNK)?;
        asked += 1;
    }
    let took = started.elapsed().as_secs_f64();
    for _ in 0..READS {
        connection.skip_read()?;
    }
    Ok(bytes as f64 / took)
}

impl Connection {
    /// Repeats a call for as long as the server says "later".
    fn patiently<T>(&mut self, mut attempt: impl FnMut(&mut Connection) -> io::Result<Reply<T>>) -> io::Result<T> {
        loop {
            match attempt(self)? {
                Reply::Done(value) => return Ok(value),
                Reply::Later => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}
