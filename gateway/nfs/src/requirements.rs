//! What a connection must have before NFS answers on it. Judged at every call: MOUNT runs in clear, so a handle is no permission.

use vfs::{EndpointId, Vfs};

use crate::config::{Config, Require};
use crate::error::Error;
use crate::nfs3::HANDLE_LIMIT;
use crate::rpc::{Decoder, Peer, Security};

/// Why a call is refused by them.
pub(crate) const WITHOUT_TLS: &str = "TLS is required (mount with xprtsec=tls or xprtsec=mtls)";

/// The rules of one server.
#[derive(Debug)]
pub(crate) struct Requirements {
    require: Require,
    /// Exports that are shown through TLS only, in order.
    exports: Vec<u64>,
}

impl Requirements {
    /// # Errors
    /// [`Error::Requirement`] if nobody could fulfil them.
    pub(crate) fn new(vfs: &Vfs, config: &Config) -> Result<Requirements, Error> {
        let is_demanding = config.require != Require::Nothing || !config.require_tls_for.is_empty();
        match &config.tls {
            None if is_demanding => {
                return Err(Error::Requirement("TLS is required, and there is no certificate for it"));
            }
            Some(files) if config.require == Require::Certificate && files.client_ca.is_none() => {
                return Err(Error::Requirement(
                    "clients' certificates are required, and there is no CA to verify them with",
                ));
            }
            _ => {}
        }
        let ids = config.require_tls_for.iter().map(|id| EndpointId::of_client_id(id.as_str()));
        let mut exports: Vec<u64> = ids.map(|id| vfs.export(&id)).collect();
        exports.sort_unstable();
        Ok(Requirements { require: config.require, exports })
    }

    /// Whether a call may not be answered for want of TLS. Every procedure but NULL begins with a handle.
    #[inline]
    pub(crate) fn refuse(&self, vfs: &Vfs, peer: &Peer, mut arguments: Decoder<'_>) -> bool {
        let fulfilled = match self.require {
            Require::Nothing => self.exports.is_empty() || peer.security != Security::Plain,
            Require::Tls => peer.security != Security::Plain,
            Require::Certificate => peer.security == Security::Certified,
        };
        if fulfilled {
            return false;
        }
        self.require != Require::Nothing || {
            let node = arguments.opaque(HANDLE_LIMIT).ok().and_then(|handle| vfs.node(handle).ok());
            node.is_some_and(|node| self.exports.binary_search(&node.export).is_ok())
        }
    }
}
