//! A load of NFSv3 calls, the same for every server: cached GETATTR, LOOKUP and ACCESS, pipelined and one at a time, READs of 1 MiB on
//! one and on eight connections, READDIRPLUS over a large directory; and beside them what the machine's TCP gives at all.
//!
//! `nfs HOST NFS_PORT MOUNT_PORT EXPORT SECONDS` prints one JSON line. `benches/nfs/run` runs it for several servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// A bench measures real time.
#![allow(clippy::disallowed_methods)]

mod baseline;
mod call;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use call::{Batch, Connection, Handle, Page, Reply};

/// Calls that wait for an answer at any moment.
const PIPELINE: u32 = 64;
/// Calls that leave in one write.
const BATCH: u32 = 16;
/// Bytes of a READ.
const CHUNK: u32 = 1 << 20;
/// READs that wait for an answer at any moment, on each connection.
const READS: u32 = 4;
/// Connections that read side by side.
const CONNECTIONS: usize = 8;
/// Bytes of a page of READDIRPLUS.
const PAGE: u32 = 64 << 10;

/// What the export has: a file of 64 MiB, and a directory.
const FILE: &str = "file";
const DIRECTORY: &str = "many";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [host, nfs, mount, export, seconds] = &arguments[..] else {
        eprintln!("usage: nfs HOST NFS_PORT MOUNT_PORT EXPORT SECONDS (see benches/nfs/run)");
        return;
    };
    let time = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let (nfs, mount): (u16, u16) = (nfs.parse().expect("a port"), mount.parse().expect("a port"));
    let root = Connection::open(host, mount).and_then(|mut connection| connection.mount(export)).expect("MNT");
    let mut connection = Connection::open(host, nfs).expect("the NFS service");
    let file = connection.patiently(|connection| connection.lookup(&root, FILE)).expect("LOOKUP");
    let many = connection.patiently(|connection| connection.lookup(&root, DIRECTORY)).expect("LOOKUP");
    let size = connection.patiently(|connection| connection.size(&file)).expect("GETATTR");
    // Once through, so that every server answers from memory.
    for chunk in 0..size.div_ceil(u64::from(CHUNK)) {
        connection.patiently(|connection| connection.read(&file, chunk * u64::from(CHUNK), CHUNK)).expect("READ");
    }
    let names = entries(&mut connection, &many).expect("READDIRPLUS").0;
    connection.patiently(|connection| connection.lookup(&many, &names)).expect("LOOKUP");

    let mut figures = Vec::new();
    let mut figure = |name: &str, value: f64| figures.push(format!("\"{name}\":{value:.0}"));
    for (name, mut batch) in [
        ("getattr", Batch::get_attributes(&file, BATCH)),
        ("lookup", Batch::lookup(&many, &names, BATCH)),
        ("access", Batch::access(&file, BATCH)),
    ] {
        figure(name, pipelined(&mut connection, &mut batch, time).expect(name));
    }
    let mut single = Batch::get_attributes(&file, 1);
    let echo = baseline::echo(single.next().len(), baseline::GETATTR_REPLY, time).expect("echo");
    figure("getattr_one_at_a_time", one_at_a_time(&mut connection, &mut single, time).expect("GETATTR"));
    figure("echo_one_at_a_time", echo);
    let mib = |bytes: f64| bytes / f64::from(CHUNK);
    for connections in [1, CONNECTIONS] {
        let bytes = side_by_side(connections, || {
            let mut connection = Connection::open(host, nfs)?;
            read_on(&mut connection, &file, size, time)
        });
        figure(&format!("read_mib_{connections}"), mib(bytes));
        figure(&format!("raw_tcp_mib_{connections}"), mib(side_by_side(connections, || baseline::stream(time))));
    }
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < time {
        count += entries(&mut connection, &many).expect("READDIRPLUS").1;
    }
    figure("readdirplus_entries", count as f64 / started.elapsed().as_secs_f64());
    println!("{{{}}}", figures.join(","));
}

/// Answers per second, with `PIPELINE` calls on their way.
fn pipelined(connection: &mut Connection, batch: &mut Batch, time: Duration) -> io::Result<f64> {
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

/// Answers per second when each is awaited.
fn one_at_a_time(connection: &mut Connection, batch: &mut Batch, time: Duration) -> io::Result<f64> {
    let (started, mut answered) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        let call = batch.next();
        connection.stream.get_mut().write_all(call)?;
        connection.skip_good_reply()?;
        answered += 1;
    }
    Ok(answered as f64 / started.elapsed().as_secs_f64())
}

/// Payload bytes of READs per second, with `READS` calls on their way, over and over the whole file.
fn read_on(connection: &mut Connection, file: &Handle, size: u64, time: Duration) -> io::Result<f64> {
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

/// The sum of what so many threads reach at the same time.
fn side_by_side(count: usize, work: impl Fn() -> io::Result<f64> + Sync) -> f64 {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().expect("a load")).sum()
    })
}

/// Goes through a directory page by page: the name of one of its last entries, and how many there are.
fn entries(connection: &mut Connection, directory: &Handle) -> io::Result<(String, u64)> {
    let (mut page, mut count, mut name) = (Page::default(), 0, String::new());
    while !page.is_last {
        page = connection.patiently(|connection| connection.read_directory(directory, page.cookie, PAGE))?;
        count += page.entries;
        if !page.name.is_empty() {
            name = std::mem::take(&mut page.name);
        }
    }
    Ok((name, count))
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
