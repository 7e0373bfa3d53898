//! NLM, the lock manager (XNFS, chapter 10): version 4, and 1 and 3 with their 32-bit ranges. Locks live in memory; they keep the
//! programs of one or several clients from each other, which is all that locks on read-only files are for.
//!
//! A blocking request is held for a few seconds and then answered BLOCKED: clients ask again by themselves, so no callback is
//! needed (docs/nfs-clients.md §3.1: without a lock manager the first `flock` hangs for ever).

mod asynchronous;
mod locks;
mod share;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use vfs::Vfs;

pub(crate) use locks::Locks;

use crate::rpc::{Answer, Decoder, Refusal, Reply, Request, STRANGER, Service, waiting};
use locks::File;
use wire::{Status, Target};

/// Program number.
pub(crate) const PROGRAM: u32 = 100_021;
/// Versions that are served.
pub(crate) const VERSIONS: [u32; 3] = [1, 3, 4];
/// Below the 10 s after which Linux repeats a lock request.
const BLOCKING_HOLD: Duration = Duration::from_secs(8);

const PROCEDURES: [&str; 24] = [
    "NULL",
    "TEST",
    "LOCK",
    "CANCEL",
    "UNLOCK",
    "GRANTED",
    "TEST_MSG",
    "LOCK_MSG",
    "CANCEL_MSG",
    "UNLOCK_MSG",
    "GRANTED_MSG",
    "TEST_RES",
    "LOCK_RES",
    "CANCEL_RES",
    "UNLOCK_RES",
    "GRANTED_RES",
    "16",
    "17",
    "18",
    "19",
    "SHARE",
    "UNSHARE",
    "NM_LOCK",
    "FREE_ALL",
];

/// The program.
pub(crate) struct Nlm {
    shared: Arc<Shared>,
}

/// What calls that wait take with them.
struct Shared {
    vfs: Vfs,
    locks: Arc<Locks>,
    /// Where clients' portmappers listen.
    portmap_port: u16,
    /// Results that may be on their way to clients' lock managers at a time.
    results: Arc<Semaphore>,
}

/// Results on their way at a time; further ones are lost, and clients ask again.
const RESULTS: usize = 64;

impl Nlm {
    pub(crate) fn new(vfs: Vfs, locks: Arc<Locks>, portmap_port: u16) -> Nlm {
        Nlm { shared: Arc::new(Shared { vfs, locks, portmap_port, results: Arc::new(Semaphore::new(RESULTS)) }) }
    }
}

impl Service for Nlm {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn name(&self) -> &'static str {
        "nlm"
    }

    fn versions(&self) -> (u32, u32) {
        (VERSIONS[0], VERSIONS[2])
    }

    fn procedures(&self) -> &'static [&'static str] {
        &PROCEDURES
    }

    fn call(&self, request: &Request<'_>, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
        if !VERSIONS.contains(&request.version) {
            return Err(Refusal::ProcedureUnavailable);
        }
        if request.procedure != 0 && !request.admitted {
            return Err(Refusal::TooWeak(STRANGER));
        }
        let shared = &self.shared;
        match request.procedure {
            0 => {}
            1 => test(shared, request, arguments, reply)?,
            2 | 22 => return lock(shared, request, arguments, reply),
            3 => {
                let cookie = wire::cookie(arguments)?;
                let _is_blocking = arguments.boolean()?;
                let _is_exclusive = arguments.boolean()?;
                let target = Target::read(request, arguments)?;
                put_status(reply, cookie, cancel(shared, target));
            }
            4 => {
                let cookie = wire::cookie(arguments)?;
                let target = Target::read(request, arguments)?;
                put_status(reply, cookie, unlock(shared, target));
            }
            // We grant nothing by callback, so there is nothing to confirm.
            5 => {
                let cookie = wire::cookie(arguments)?;
                put_status(reply, cookie, Status::Denied);
            }
            6..=9 => asynchronous::call(shared, request, arguments)?,
            // Results of calls that were never made.
            10..=15 => {}
            20 | 21 => share::call(shared, request, arguments, reply)?,
            23 => {
                let name = arguments.opaque(wire::NAME_LIMIT)?;
                shared.locks.forget(request.peer.address.ip(), name);
            }
            _ => return Err(Refusal::ProcedureUnavailable),
        }
        Ok(Answer::Written)
    }
}

impl Shared {
    /// The file that is meant, if the handle is good.
    fn file(&self, target: &Target<'_>) -> Option<File> {
        let node = self.vfs.node(target.handle).ok()?;
        Some(File { export: node.export, own: node.own })
    }
}

fn test(shared: &Shared, request: &Request<'_>, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<(), Refusal> {
    let cookie = wire::cookie(arguments)?;
    let is_exclusive = arguments.boolean()?;
    let target = Target::read(request, arguments)?;
    reply.opaque(cookie);
    put_test(shared, request.version, is_exclusive, &target, reply);
    Ok(())
}

/// `nlm4_testrply`: the status and, if denied, who is in the way.
fn put_test(shared: &Shared, version: u32, is_exclusive: bool, target: &Target<'_>, reply: &mut Reply) {
    let Some(file) = shared.file(target) else {
        reply.u32(Status::stale(version) as u32);
        return;
    };
    match shared.locks.conflict(file, &target.lock(is_exclusive)) {
        None => reply.u32(Status::Granted as u32),
        Some(holder) => {
            reply.u32(Status::Denied as u32);
            wire::put_holder(reply, version, &holder);
        }
    }
}

fn lock(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    let cookie = wire::cookie(arguments)?;
    let is_blocking = arguments.boolean()?;
    let is_exclusive = arguments.boolean()?;
    let target = Target::read(request, arguments)?;
    let Some(file) = shared.file(&target) else {
        put_status(reply, cookie, Status::stale(request.version));
        return Ok(Answer::Written);
    };
    let wanted = target.lock(is_exclusive);
    let status = shared.locks.acquire(file, wanted.clone());
    if status != Status::Denied || !is_blocking {
        put_status(reply, cookie, status);
        return Ok(Answer::Written);
    }
    if !request.may_wait {
        put_status(reply, cookie, Status::Blocked);
        return Ok(Answer::Written);
    }
    let (shared, cookie, xid) = (shared.clone(), cookie.to_vec(), request.xid);
    Ok(waiting(async move {
        let status = shared.locks.acquire_within(file, wanted, BLOCKING_HOLD).await;
        let mut reply = Reply::new(xid);
        put_status(&mut reply, &cookie, status);
        Some(reply)
    }))
}

fn unlock(shared: &Shared, target: Target<'_>) -> Status {
    if let Some(file) = shared.file(&target) {
        shared.locks.release(file, &target.owner, target.range);
    }
    // A lock that is not there is as good as released.
    Status::Granted
}

fn cancel(shared: &Shared, target: Target<'_>) -> Status {
    if let Some(file) = shared.file(&target) {
        shared.locks.cancel(file, &target.owner, target.range);
    }
    Status::Granted
}

fn put_status(reply: &mut Reply, cookie: &[u8], status: Status) {
    reply.opaque(cookie);
    reply.u32(status as u32);
}
