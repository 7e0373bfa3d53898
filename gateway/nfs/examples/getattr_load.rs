//! Pipelined calls on one connection against a running server: `getattr_load NFS[,MOUNT] PATH [getattr|access|lookup|read|readdirplus] [DEPTH] [SECONDS]`.
//! Prints calls and bytes per second. PATH is mounted first (`/C.1/auto/etc/big`: its parent is mounted and the name looked up).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Room for the largest reply several times over.
const BUFFER: usize = 8 << 20;

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What is there and not taken yet.
    start: usize,
    end: usize,
}

fn opaque(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn message(program: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> =
        [1, 0, 2, program, 3, procedure, 1, 20, 0, 0, 0, 0, 0, 0, 0].into_iter().flat_map(u32::to_be_bytes).collect();
    body.extend(arguments);
    let mut out = (u32::try_from(body.len()).unwrap() | 1 << 31).to_be_bytes().to_vec();
    out.extend(body);
    out
}

/// The handle at the front of results.
fn handle(results: &[u8]) -> Vec<u8> {
    let length = u32::from_be_bytes(results[..4].try_into().unwrap()) as usize;
    results[4..4 + length].to_vec()
}

impl Client {
    fn connect(address: &str) -> Client {
        let stream =
            TcpStream::connect(address.parse::<SocketAddr>().expect("an address")).expect("the server listens");
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: vec![0; BUFFER], start: 0, end: 0 }
    }

    fn reply(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = self.next() {
                let reply = self.buffer[self.start + 4..self.start + length].to_vec();
                self.start += length;
                return reply;
            }
            self.fill();
        }
    }

    fn next(&self) -> Option<usize> {
        let rest = &self.buffer[self.start..self.end];
        let marker = u32::from_be_bytes(rest.get(..4)?.try_into().unwrap());
        let length = (marker & 0x7fff_ffff) as usize + 4;
        (rest.len() >= length).then_some(length)
    }

    fn fill(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end > BUFFER / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let count = self.stream.read(&mut self.buffer[self.end..]).expect("the server answers");
        assert!(count > 0, "the server closed the connection");
        self.end += count;
    }

    fn call(&mut self, program: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
        self.stream.write_all(&message(program, procedure, arguments)).unwrap();
        let reply = self.reply();
        assert_eq!(
            &reply[4..24],
            [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            "accepted and successful"
        );
        assert_eq!(reply[24..28], [0; 4], "status of procedure {procedure}: {:?}", &reply[24..28]);
        reply[28..].to_vec()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let addresses = arguments.next().expect("ADDRESS");
    let (nfs, mount) = addresses.split_once(',').unwrap_or((&addresses, &addresses));
    let path = arguments.next().expect("PATH");
    let what = arguments.next().unwrap_or_else(|| "getattr".to_owned());
    let depth: usize = arguments.next().map_or(64, |text| text.parse().expect("DEPTH"));
    let seconds: u64 = arguments.next().map_or(3, |text| text.parse().expect("SECONDS"));
    let mut client = Client::connect(nfs);
    let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", ""));
    let mut export = Vec::new();
    opaque(&mut export, if parent.is_empty() { b"/" } else { parent.as_bytes() });
    let root = handle(&Client::connect(mount).call(100_005, 1, &export));
    let mut lookup = Vec::new();
    opaque(&mut lookup, &root);
    opaque(&mut lookup, name.as_bytes());
    let found = handle(&client.call(100_003, 3, &lookup));
    let mut target = Vec::new();
    opaque(&mut target, &found);
    let request = match what.as_str() {
        "getattr" => message(100_003, 1, &target),
        "access" => message(100_003, 4, &[&target[..], &[0, 0, 0, 0x3f]].concat()),
        "lookup" => message(100_003, 3, &lookup),
        "read" => {
            client.call(100_003, 6, &[&target[..], &[0; 8], &[0, 0x10, 0, 0]].concat());
            message(100_003, 6, &[&target[..], &[0; 8], &[0, 0x10, 0, 0]].concat())
        }
        _ => {
            let tail = [&[0; 16][..], &[0, 1, 0, 0], &[0, 1, 0, 0]].concat();
            client.call(100_003, 17, &[&target[..], &tail].concat());
            message(100_003, 17, &[&target[..], &tail].concat())
        }
    };
    run(&mut client, &request, &what, depth, Duration::from_secs(seconds));
}

#[allow(clippy::disallowed_methods)] // measuring real time is the point
fn run(client: &mut Client, request: &[u8], what: &str, depth: usize, time: Duration) {
    let window = request.repeat(depth);
    client.stream.write_all(&window).unwrap();
    let (start, mut calls, mut bytes) = (std::time::Instant::now(), 0u64, 0u64);
    while start.elapsed() < time {
        let mut batch = 0;
        while let Some(length) = client.next() {
            client.start += length;
            bytes += length as u64;
            batch += 1;
        }
        if batch > 0 {
            calls += batch as u64;
            client.stream.write_all(&window[..request.len() * batch]).unwrap();
        } else {
            client.fill();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{what} depth {depth}: {:.0} calls/s, {:.2} GB/s", calls as f64 / seconds, bytes as f64 / seconds / 1e9);
}
