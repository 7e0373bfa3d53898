//! A proxy between a client and the server that understands enough of RPC to name every call, and misbehaves on demand: it cuts,
//! delays, duplicates and reorders. Also used by the behaviour tests, before the kernel's client.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Program, version and procedure of a call.
pub type Procedure = (u32, u32, u32);

/// What is done to a call or its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection ends instead of the call.
    CutBefore,
    /// The call arrives, the connection ends instead of the reply.
    CutAfter,
    /// The connection ends in the middle of the reply.
    CutWithin,
    /// The call arrives later.
    DelayCall,
    /// The reply arrives later.
    DelayReply,
    /// The call arrives twice.
    DuplicateCall,
    /// The reply arrives twice.
    DuplicateReply,
    /// The reply arrives in fragments, byte by byte at its front.
    Fragment,
    /// The reply arrives after the next one, if there is one soon.
    Reorder,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 9] = [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::CutWithin,
        Fault::DelayCall,
        Fault::DelayReply,
        Fault::DuplicateCall,
        Fault::DuplicateReply,
        Fault::Fragment,
        Fault::Reorder,
    ];
}

/// How long a delay is. Long enough that other replies overtake.
const DELAY: Duration = Duration::from_millis(40);

/// Decides what becomes of a call: its procedure, and how many of that procedure came before.
pub type Plan = Box<dyn Fn(Procedure, u64) -> Option<Fault> + Send + Sync>;

/// A proxy; it takes no more connections when it is dropped.
pub struct Proxy {
    state: Arc<State>,
    address: SocketAddr,
}

struct State {
    to: SocketAddr,
    plan: Mutex<Plan>,
    calls: Mutex<BTreeMap<Procedure, u64>>,
    done: Mutex<BTreeMap<(Procedure, Fault), u64>>,
    /// The first calls of each procedure.
    records: Mutex<BTreeMap<Procedure, Vec<Vec<u8>>>>,
    ended: AtomicBool,
}

/// How many calls of each procedure are kept.
const KEPT: usize = 8;

impl Proxy {
    /// Between whoever connects to the loopback and `to`.
    pub fn start(to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            to,
            plan: Mutex::new(Box::new(|_, _| None)),
            calls: Mutex::default(),
            done: Mutex::default(),
            records: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let accepting = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.ended.load(Ordering::SeqCst) {
                    break;
                }
                let state = accepting.clone();
                // An error is a connection that ended, which is what this is for.
                thread::spawn(move || drop(serve(client, &state)));
            }
        });
        Proxy { state, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is done from now on; the calls are counted from 0 again.
    pub fn set(&self, plan: impl Fn(Procedure, u64) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.state.plan) = Box::new(plan);
        lock(&self.state.calls).clear();
    }

    /// What was done how often.
    pub fn done(&self) -> BTreeMap<(Procedure, Fault), u64> {
        lock(&self.state.done).clone()
    }

    /// The first calls of each procedure, as they came.
    pub fn records(&self) -> BTreeMap<Procedure, Vec<Vec<u8>>> {
        lock(&self.state.records).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn fault(&self, procedure: Procedure, record: &[u8]) -> Option<Fault> {
        let before = {
            let mut calls = lock(&self.calls);
            let count = calls.entry(procedure).or_default();
            *count += 1;
            *count - 1
        };
        let mut records = lock(&self.records);
        let kept = records.entry(procedure).or_default();
        if kept.len() < KEPT && !kept.iter().any(|other| other.get(4..) == record.get(4..)) {
            kept.push(record.to_vec());
        }
        drop(records);
        let fault = lock(&self.plan)(procedure, before)?;
        *lock(&self.done).entry((procedure, fault)).or_default() += 1;
        Some(fault)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection of a client, and ours to the server.
struct Pair {
    client: Mutex<TcpStream>,
    server: Mutex<TcpStream>,
    /// Faults that the replies to these calls will have.
    pending: Mutex<HashMap<u32, Fault>>,
    /// A reply that lets the next one go first.
    behind: Mutex<Option<Vec<u8>>>,
}

impl Pair {
    fn cut(&self) {
        for stream in [&self.client, &self.server] {
            // Already gone is gone.
            let _gone = lock(stream).shutdown(Shutdown::Both);
        }
    }

    fn answer(&self, record: &[u8]) -> io::Result<()> {
        write_record(&mut *lock(&self.client), record)?;
        let behind = lock(&self.behind).take();
        behind.map_or(Ok(()), |reply| write_record(&mut *lock(&self.client), &reply))
    }
}

fn serve(client: TcpStream, state: &Arc<State>) -> io::Result<()> {
    let server = TcpStream::connect(state.to)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let pair = Arc::new(Pair {
        client: Mutex::new(client),
        server: Mutex::new(server),
        pending: Mutex::default(),
        behind: Mutex::default(),
    });
    let replies = pair.clone();
    let back = thread::spawn(move || {
        let ended = carry_replies(&replies, from_server);
        replies.cut();
        ended
    });
    let ended = carry_calls(&pair, from_client, state);
    pair.cut();
    // Whatever ended it: both ways are over.
    let _other = back.join();
    ended
}

fn carry_calls(pair: &Arc<Pair>, from: TcpStream, state: &State) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let record = read_record(&mut from)?;
        let words: Vec<u32> = record
            .chunks_exact(4)
            .take(6)
            .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let [xid, 0, _, program, version, procedure] = words[..] else {
            write_record(&mut *lock(&pair.server), &record)?;
            continue;
        };
        match state.fault((program, version, procedure), &record) {
            None => {}
            Some(Fault::CutBefore) => return Ok(()),
            Some(Fault::DelayCall) => {
                let pair = pair.clone();
                thread::spawn(move || {
                    thread::sleep(DELAY);
                    // The connection may be gone by then: so is the call.
                    let _gone = write_record(&mut *lock(&pair.server), &record);
                });
                continue;
            }
            Some(Fault::DuplicateCall) => write_record(&mut *lock(&pair.server), &record)?,
            Some(fault) => {
                lock(&pair.pending).insert(xid, fault);
            }
        }
        write_record(&mut *lock(&pair.server), &record)?;
    }
}

fn carry_replies(pair: &Arc<Pair>, from: TcpStream) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let record = read_record(&mut from)?;
        let xid = record.first_chunk().map_or(0, |xid| u32::from_be_bytes(*xid));
        let fault = lock(&pair.pending).remove(&xid);
        match fault {
            Some(Fault::CutAfter) => return Ok(()),
            Some(Fault::CutWithin) => {
                let mut whole = Vec::new();
                write_record(&mut whole, &record)?;
                lock(&pair.client).write_all(&whole[..whole.len() / 2])?;
                return Ok(());
            }
            Some(Fault::DelayReply | Fault::Reorder) => {
                if fault == Some(Fault::Reorder) {
                    *lock(&pair.behind) = Some(record.clone());
                }
                let pair = pair.clone();
                thread::spawn(move || {
                    thread::sleep(DELAY);
                    let late = match fault {
                        Some(Fault::Reorder) => lock(&pair.behind).take_if(|reply| *reply == record),
                        _ => Some(record),
                    };
                    // The connection may be gone by then: so is the reply.
                    let _gone = late.map(|late| write_record(&mut *lock(&pair.client), &late));
                });
            }
            Some(Fault::DuplicateReply) => {
                pair.answer(&record)?;
                pair.answer(&record)?;
            }
            Some(Fault::Fragment) => {
                let mut whole = Vec::new();
                write_record(&mut whole, &record)?;
                let mut client = lock(&pair.client);
                for byte in whole.iter().take(12) {
                    client.write_all(&[*byte])?;
                    client.flush()?;
                }
                client.write_all(&whole[whole.len().min(12)..])?;
            }
            _ => pair.answer(&record)?,
        }
    }
}

/// One record, its fragments joined.
fn read_record(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut record = Vec::new();
    loop {
        let mut marker = [0; 4];
        from.read_exact(&mut marker)?;
        let marker = u32::from_be_bytes(marker);
        let (at, length) = (record.len(), (marker & 0x7fff_ffff) as usize);
        if at + length > 8 << 20 {
            return Err(io::Error::other("a record is too long"));
        }
        record.resize(at + length, 0);
        from.read_exact(&mut record[at..])?;
        if marker >> 31 == 1 {
            return Ok(record);
        }
    }
}

fn write_record(to: &mut impl Write, record: &[u8]) -> io::Result<()> {
    let length = u32::try_from(record.len()).map_err(io::Error::other)?;
    to.write_all(&[&(length | 1 << 31).to_be_bytes(), record].concat())
}

/// Where the corpus of `fuzz/` is to be written, if this run is to write it.
pub fn corpus() -> Option<PathBuf> {
    std::env::var_os("RAPTORGATE_CORPUS").map(PathBuf::from)
}

impl Proxy {
    /// Writes the calls that passed as inputs of the fuzz targets: whole records for `records` and `header`; version, procedure and
    /// arguments for the target of each program. Handles become places for those of whoever reads them.
    pub fn write_corpus(&self, folder: &Path, who: &str) -> io::Result<()> {
        for ((program, version, procedure), records) in self.records() {
            let target = match program {
                100_003 => "nfs",
                100_005 => "mount",
                100_000 => "portmap",
                100_021 | 100_024 => "locks",
                _ => continue,
            };
            for (number, record) in records.iter().enumerate() {
                let record = without_handles(record);
                let name = format!("{who}-{program}-{version}-{procedure}-{number}");
                let mut framed = Vec::new();
                write_record(&mut framed, &record)?;
                let mut call = vec![version.to_be_bytes()[3], procedure.to_be_bytes()[3]];
                call.extend(arguments(&record));
                for (target, input) in [("records", &framed), ("header", &record), (target, &call)] {
                    fs::create_dir_all(folder.join(target))?;
                    fs::write(folder.join(target).join(&name), input)?;
                }
            }
        }
        Ok(())
    }
}

/// What follows credential and verifier.
fn arguments(record: &[u8]) -> &[u8] {
    let mut rest = record.get(24..).unwrap_or_default();
    for _ in 0..2 {
        let length = rest.get(4..8).map_or(0, |word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize);
        rest = rest.get(8 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    rest
}

/// A handle's kind stays, the rest becomes a place for another one (`super::harness`).
fn without_handles(record: &[u8]) -> Vec<u8> {
    let mut record = record.to_vec();
    let mut at = 0;
    while at + 68 <= record.len() {
        if record[at..at + 5] == [0, 0, 0, 64, 1] && (1..=7).contains(&(record[at + 5] & 7)) {
            let kind = record[at + 5] & 7;
            record[at + 4..at + 68].copy_from_slice(&place_for_handle(kind));
            at += 68;
        } else {
            at += 4;
        }
    }
    record
}

/// 64 bytes that stand for a handle of this kind.
pub fn place_for_handle(kind: u8) -> [u8; 64] {
    let mut place = [0; 64];
    place[..8].copy_from_slice(&[1, kind, b'H', b'A', b'N', b'D', b'L', b'E']);
    place
}
