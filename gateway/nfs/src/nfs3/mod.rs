//! NFS version 3 (RFC 1813), one file per procedure. Reading procedures ask the VFS; writing ones answer ROFS with the bodies that
//! the RFC prescribes.

mod about;
mod access;
mod attributes;
mod commit;
mod create;
mod directory;
mod fsinfo;
mod fsstat;
mod getattr;
mod link;
mod lookup;
mod mkdir;
mod mknod;
mod null;
mod pathconf;
mod read;
mod readdir;
mod readdirplus;
mod readlink;
mod remove;
mod rename;
mod results;
mod rmdir;
mod setattr;
mod status;
mod symlink;
mod write;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use vfs::{Attributes, Call, Error, Node, Vfs};

use crate::requirements::{Requirements, WITHOUT_TLS};
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request, STRANGER, Service, waiting};

pub(crate) use attributes::MAX_FILE_SIZE;
pub use status::{About, status_of};

/// Program number.
pub(crate) const PROGRAM: u32 = nfsserve::nfs::PROGRAM;
/// The one version that is served; version 4 gets PROG_MISMATCH, upon which Linux falls back (docs/nfs-clients.md §3.1).
pub(crate) const VERSION: u32 = nfsserve::nfs::VERSION;
/// Most bytes of a handle.
pub(crate) const HANDLE_LIMIT: usize = nfsserve::nfs::NFS3_FHSIZE as usize;
/// A name may be as long as the record allows: raw names of an endpoint can be longer than 255 bytes.
const NAME_LIMIT: usize = 64 << 10;
/// The most that one READ gives.
pub(crate) const TRANSFER_LIMIT: u32 = 1 << 20;
/// The largest reply to READDIR and READDIRPLUS: what clients ask for. Such replies are shared with nobody, so that larger ones would let
/// clients that do not read take memory.
pub(crate) const DIRECTORY_LIMIT: u32 = 64 << 10;

const PROCEDURES: [&str; 22] = [
    "NULL",
    "GETATTR",
    "SETATTR",
    "LOOKUP",
    "ACCESS",
    "READLINK",
    "READ",
    "WRITE",
    "CREATE",
    "MKDIR",
    "SYMLINK",
    "MKNOD",
    "REMOVE",
    "RMDIR",
    "RENAME",
    "LINK",
    "READDIR",
    "READDIRPLUS",
    "FSSTAT",
    "FSINFO",
    "PATHCONF",
    "COMMIT",
];

/// The program.
pub(crate) struct Nfs3 {
    shared: Arc<Shared>,
    mounted: Arc<Notify>,
    requirements: Requirements,
}

/// What calls that wait take with them.
struct Shared {
    vfs: Vfs,
    /// KiB of READ that all connections together may wait for.
    reading: Arc<Semaphore>,
    reading_kib: u32,
}

impl Nfs3 {
    /// `reading_bytes`: READ that all connections together may wait for at a time. `mounted` is told whenever a client seems to have
    /// mounted.
    pub(crate) fn new(vfs: Vfs, reading_bytes: usize, mounted: Arc<Notify>, requirements: Requirements) -> Nfs3 {
        let kib = (reading_bytes / 1024).clamp(TRANSFER_LIMIT as usize / 1024, Semaphore::MAX_PERMITS);
        let reading_kib = u32::try_from(kib).unwrap_or(u32::MAX);
        Nfs3 {
            shared: Arc::new(Shared { vfs, reading: Arc::new(Semaphore::new(kib)), reading_kib }),
            mounted,
            requirements,
        }
    }
}

impl Service for Nfs3 {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn name(&self) -> &'static str {
        "nfs"
    }

    fn versions(&self) -> (u32, u32) {
        (VERSION, VERSION)
    }

    fn procedures(&self) -> &'static [&'static str] {
        &PROCEDURES
    }

    #[inline]
    fn call(&self, request: &Request<'_>, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
        if request.procedure != 0 && !request.admitted {
            return Err(Refusal::TooWeak(STRANGER));
        }
        if request.procedure != 0 && self.requirements.refuse(&self.shared.vfs, request.peer, *arguments) {
            return Err(Refusal::TooWeak(WITHOUT_TLS));
        }
        // NFS over UDP is not offered: replies would not fit.
        if request.procedure != 0 && request.peer.transport == crate::rpc::Transport::Udp {
            return Err(Refusal::ProcedureUnavailable);
        }
        let shared = &self.shared;
        match request.procedure {
            0 => Ok(null::call()),
            1 => getattr::call(shared, request, arguments, reply),
            2 => setattr::call(shared, arguments, reply),
            3 => lookup::call(shared, request, arguments, reply),
            4 => access::call(shared, request, arguments, reply),
            5 => readlink::call(shared, request, arguments, reply),
            6 => read::call(shared, request, arguments, reply),
            7 => write::call(shared, arguments, reply),
            8 => create::call(shared, request, arguments, reply),
            9 => mkdir::call(shared, arguments, reply),
            10 => symlink::call(shared, arguments, reply),
            11 => mknod::call(shared, arguments, reply),
            12 => remove::call(shared, arguments, reply),
            13 => rmdir::call(shared, arguments, reply),
            14 => rename::call(shared, arguments, reply),
            15 => link::call(shared, arguments, reply),
            16 => readdir::call(shared, request, arguments, reply),
            17 => readdirplus::call(shared, request, arguments, reply),
            18 => fsstat::call(shared, request, arguments, reply),
            19 => {
                // Kernels ask this once per mount, after their lock manager has started.
                self.mounted.notify_one();
                fsinfo::call(shared, request, arguments, reply)
            }
            20 => pathconf::call(shared, request, arguments, reply),
            21 => commit::call(shared, arguments, reply),
            _ => Err(Refusal::ProcedureUnavailable),
        }
    }
}

impl Shared {
    /// Attributes that can be shown right now. An object whose size only reading tells shows none (D7): the client then asks with
    /// GETATTR, which waits.
    fn shown(&self, node: &Node) -> Option<Attributes> {
        self.vfs.attributes_now(node)?.ok().filter(|attributes| attributes.size.is_some())
    }
}

/// Reads a handle and verifies it.
///
/// # Errors
/// `Err`: garbage. `Ok(Err)`: a handle that names nothing.
#[inline]
fn read_node(shared: &Shared, arguments: &mut Decoder<'_>) -> Result<Result<Node, Error>, Refusal> {
    let handle = arguments.opaque(HANDLE_LIMIT)?;
    Ok(shared.vfs.node(handle))
}

/// Answers from what is known now, else when `wait` has ended, else (no more calls may be held) with "later".
#[inline]
fn answer<T, F>(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    reply: &mut Reply,
    now: Option<vfs::Result<T>>,
    encode: impl FnOnce(&Shared, &mut Reply, vfs::Result<T>) + Send + 'static,
    wait: impl FnOnce(Arc<Shared>, Arc<Call>) -> F,
) -> Answer
where
    T: Send + 'static,
    F: Future<Output = vfs::Result<T>> + Send + 'static,
{
    if let Some(result) = now {
        encode(shared, reply, result);
        return Answer::Written;
    }
    if !request.may_wait {
        encode(shared, reply, Err(busy()));
        return Answer::Written;
    }
    let (xid, habits) = (request.xid, reply.habits());
    let shared = shared.clone();
    let future = wait(shared.clone(), request.peer.call().clone());
    waiting(async move {
        let result = future.await;
        let mut reply = Reply::new(xid);
        reply.respect(habits);
        encode(&shared, &mut reply, result);
        Some(reply)
    })
}

/// Too many calls are being held (D34).
fn busy() -> Error {
    Error::later(Duration::from_secs(5), "too many calls are waiting for endpoints; ask again")
}
