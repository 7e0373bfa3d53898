//! MOUNT version 3 (RFC 1813 appendix I): from a path to the handle that a mount begins with. Versions 1 and 2 share all but MNT.

mod dump;
mod export;
mod mnt;

use std::net::SocketAddr;
use std::sync::Arc;

use vfs::Vfs;

use crate::config::Require;
use crate::rpc::{Answer, Decoder, Peer, Refusal, Reply, Request, Security, Service, Transport};
pub(crate) use dump::Mounts;

/// Program number.
pub(crate) const PROGRAM: u32 = 100_005;
/// The version that gives NFSv3 handles.
pub(crate) const VERSION: u32 = 3;
/// Longest path (`MNTPATHLEN`).
const PATH_LIMIT: usize = 1024;

const PROCEDURES: [&str; 6] = ["NULL", "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT"];

/// The program.
pub(crate) struct Mount {
    shared: Arc<Shared>,
}

/// What calls that wait take with them.
struct Shared {
    vfs: Vfs,
    mounts: Arc<Mounts>,
    require: Require,
}

impl Shared {
    /// Whoever asks is a stranger where certificates are asked for. Kernels mount in clear, so he gets the handles of endpoints
    /// (which open nothing without a certificate), and no look at one.
    fn is_stranger(&self, peer: &Peer) -> bool {
        self.require == Require::Certificate && peer.security != Security::Certified
    }
}

impl Mount {
    pub(crate) fn new(vfs: Vfs, mounts: Arc<Mounts>, require: Require) -> Mount {
        Mount { shared: Arc::new(Shared { vfs, mounts, require }) }
    }
}

/// Who calls, for the log. Name and path are what anybody may write: they are shown escaped.
struct Sender {
    address: SocketAddr,
    uid: Option<u32>,
    machine: String,
    transport: Transport,
}

impl Sender {
    fn of(request: &Request<'_>) -> Sender {
        let (address, transport) = (request.peer.address, request.peer.transport);
        Sender { address, uid: request.credential.uid(), machine: request.credential.machine(), transport }
    }
}

impl Service for Mount {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn name(&self) -> &'static str {
        "mount"
    }

    fn versions(&self) -> (u32, u32) {
        (1, VERSION)
    }

    fn procedures(&self) -> &'static [&'static str] {
        &PROCEDURES
    }

    fn call(&self, request: &Request<'_>, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
        let shared = &self.shared;
        match request.procedure {
            0 => {}
            1 if request.version == VERSION => return mnt::call(shared, request, arguments, reply),
            2 | 5 if shared.is_stranger(request.peer) => reply.boolean(false), // an empty list
            2 => shared.mounts.put(reply),
            3 => {
                let path = arguments.opaque(PATH_LIMIT)?;
                shared.mounts.remove(request.peer.address.ip(), path);
                let Sender { address, uid, machine, transport } = Sender::of(request);
                tracing::info!(peer = %address, uid, ?machine, ?transport, path = ?String::from_utf8_lossy(path), "unmounted");
            }
            4 => {
                shared.mounts.remove_all(request.peer.address.ip());
                let Sender { address, uid, machine, transport } = Sender::of(request);
                tracing::info!(peer = %address, uid, ?machine, ?transport, "unmounted everything");
            }
            5 => export::put(&shared.vfs, request.peer.transport, reply),
            _ => return Err(Refusal::ProcedureUnavailable),
        }
        Ok(Answer::Written)
    }
}
