//! The floods. Each keeps a rate, so that what is measured is the gateway and not two programs that fight for the processors.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::call::{self, Handle};
use crate::flood::{Pace, connect};
use crate::scene::Scene;

/// Half-open connections in all, and how many of them are kept open at this end.
const HALF_OPEN: u32 = 100_000;
const KEPT: usize = 15_000;
const SLOW: u32 = 300;
const IDLE: u32 = 2_000;
const HELD: usize = 10_000;
/// Connections that the held calls come over: one may hold 4,096.
const HOLDING: usize = 4;

pub fn nothing(_: &Scene, stop: Arc<AtomicBool>) -> String {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
    "nothing".into()
}

/// Four bytes that announce 2 GiB, and a few that begin it.
pub fn headers(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let mut bytes = 0x7fff_ffff_u32.to_be_bytes().to_vec();
    bytes.extend([0; 1000]);
    attempts(scene, &stop, 1_000, move |_| bytes.clone())
}

/// Bytes without meaning, of all lengths.
pub fn garbage(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    attempts(scene, &stop, 1_000, move |number| {
        let length = 1 + (number as usize * 37) % 4_000;
        let random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut bytes: Vec<u8> = std::iter::repeat_with(random).take(length / 8 + 1).flatten().collect();
        bytes.truncate(length);
        bytes
    })
}

/// Opens connections at a rate, sends each these bytes, and waits up to a second for its end.
fn attempts(scene: &Scene, stop: &AtomicBool, rate: u32, mut bytes: impl FnMut(u32) -> Vec<u8>) -> String {
    let (done, closed) = scene.runtime.block_on(async {
        let mut attempts = tokio::task::JoinSet::new();
        let mut pace = Pace::new(rate);
        while !stop.load(Ordering::Relaxed) {
            let number = pace.next().await;
            let (address, bytes) = (scene.address(), bytes(number));
            attempts.spawn(async move {
                let Ok(mut stream) = connect(address, number).await else { return false };
                let _ = stream.write_all(&bytes).await;
                let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0; 64])).await;
                matches!(read, Ok(Ok(0) | Err(_)))
            });
        }
        let ended = attempts.join_all().await;
        (ended.len(), ended.iter().filter(|closed| **closed).count())
    });
    format!("{done} connections, {closed} of them closed by the gateway within 1 s")
}

/// READs that ask for more than there is memory.
pub fn greedy(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let (mut connection, file) = scene.client();
    let (mut asked, mut most) = (0, 0);
    scene.runtime.block_on(async {
        let mut pace = Pace::new(100);
        while !stop.load(Ordering::Relaxed) {
            asked = pace.next().await + 1;
            connection.send_read(&file, u64::from(asked % 32) << 20, 1 << 30).expect("READ");
            most = most.max(connection.skip_read().expect("an answer"));
        }
    });
    format!("{asked} calls, answered with {} MiB at most", most >> 20)
}

/// Connections that say nothing.
pub fn half_open(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let (opened, failed) = scene.runtime.block_on(async {
        let (mut open, mut failed) = (VecDeque::with_capacity(KEPT), 0);
        let mut pace = Pace::new(HALF_OPEN / 9);
        let mut opened = 0;
        while opened < HALF_OPEN && !stop.load(Ordering::Relaxed) {
            opened = pace.next().await + 1;
            match connect(scene.address(), opened).await {
                Ok(stream) => open.push_back(stream),
                Err(_) => failed += 1,
            }
            if open.len() > KEPT {
                open.pop_front();
            }
        }
        (opened, failed)
    });
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
    format!("{opened} connections, {failed} of them failed")
}

/// Clients that ask for 64 MiB each and take none of it.
pub fn slow(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let (_, file) = scene.client();
    let calls: Vec<u8> =
        (0..64_u32).flat_map(|number| read_call(number, &file, u64::from(number % 32) << 20, 1 << 20)).collect();
    scene.runtime.block_on(async {
        let mut open = Vec::new();
        let mut pace = Pace::new(SLOW / 3);
        for number in 0..SLOW {
            pace.next().await;
            let mut stream = connect(scene.address(), number).await.expect("a connection");
            let _ = stream.write_all(&calls).await;
            open.push(stream);
        }
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    format!("{SLOW} connections asked for 64 MiB each")
}

/// Clients that have nothing to ask, and calls for directories that the endpoint does not list.
pub fn idle_and_held(scene: &Scene, stop: Arc<AtomicBool>) -> String {
    let unlisted = scene.unlisted();
    scene.simulator.handle().stall_next_flows(10_000);
    let null = call::message(1, call::NFS, 0, &[]);
    scene.runtime.block_on(async {
        let mut open = Vec::new();
        for number in 0..IDLE {
            let mut stream = connect(scene.address(), number).await.expect("a connection");
            stream.write_all(&null).await.expect("NULL");
            stream.read_exact(&mut [0; 28]).await.expect("an answer");
            open.push(stream);
        }
        for connection in 0..HOLDING {
            let number = u32::try_from(connection).expect("few");
            let mut stream = connect(scene.address(), number).await.expect("a connection");
            let calls: Vec<u8> = (0..HELD / HOLDING)
                .flat_map(|call| list_call(u32::try_from(call).expect("few"), &unlisted[call % unlisted.len()]))
                .collect();
            stream.write_all(&calls).await.expect("READDIR");
            open.push(stream);
        }
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    format!("{IDLE} idle connections, {HELD} calls that wait for {} directories", unlisted.len())
}

fn read_call(xid: u32, file: &Handle, offset: u64, count: u32) -> Vec<u8> {
    let mut arguments = Vec::new();
    call::put_opaque(&mut arguments, &file.0);
    arguments.extend(offset.to_be_bytes());
    arguments.extend(count.to_be_bytes());
    call::message(xid, call::NFS, 6, &arguments)
}

/// READDIR from the beginning.
fn list_call(xid: u32, directory: &Handle) -> Vec<u8> {
    let mut arguments = Vec::new();
    call::put_opaque(&mut arguments, &directory.0);
    arguments.extend([0; 16]);
    arguments.extend(4096_u32.to_be_bytes());
    call::message(xid, call::NFS, 16, &arguments)
}
