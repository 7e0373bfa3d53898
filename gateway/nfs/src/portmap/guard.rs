//! Keeps our lock manager's place with rpcbind on a machine that mounts from itself.
//!
//! A kernel that mounts starts a lock manager of its own and registers it, having removed whoever was there. The mount's lock
//! requests would then go to the kernel itself, which has no such files, and `flock` would hang. The kernel's registration matters
//! only to mounts from other servers, which call back when a lock becomes free: as long as this machine has none, ours is put back.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::client::Client;
use super::registry::{Mapping, Protocol};
use crate::nlm;

/// How often to look even if nobody seems to have mounted.
const PERIOD: Duration = Duration::from_secs(60);

/// Puts the lock manager back.
#[derive(Debug)]
pub(crate) struct Guard {
    portmapper: SocketAddr,
    mappings: Vec<Mapping>,
}

impl Guard {
    /// `own`: all programs of this server.
    pub(super) fn new(portmapper: SocketAddr, own: &[Mapping]) -> Guard {
        Guard { portmapper, mappings: own.iter().filter(|mapping| mapping.program == nlm::PROGRAM).copied().collect() }
    }

    /// Looks whenever a client has mounted, until `stop` turns true.
    pub(crate) async fn watch(self, mounted: Arc<Notify>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = crate::rpc::stopped(&mut stop) => return,
                _ = tokio::time::timeout(PERIOD, mounted.notified()) => {}
            }
            match self.put_back().await {
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "cannot see whether the lock manager is still registered"),
            }
        }
    }

    /// Puts our lock manager back if it was replaced. False: another one is needed there.
    ///
    /// # Errors
    /// If the portmapper cannot be asked.
    pub(crate) async fn put_back(&self) -> io::Result<bool> {
        let Some(first) = self.mappings.iter().find(|mapping| mapping.protocol == Protocol::Tcp && mapping.families.v4)
        else {
            return Ok(true);
        };
        let mut client = Client::privileged(self.portmapper).await?;
        let known = client.port(first.program, first.version, first.protocol).await?;
        if known == first.port {
            return Ok(true);
        }
        if known != 0 && std::fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| needs_lock_manager(&mounts)) {
            return Ok(false);
        }
        for version in nlm::VERSIONS {
            client.unset(nlm::PROGRAM, version).await?;
        }
        for Mapping { program, version, protocol, port, families } in self.mappings.iter().copied() {
            client.set(program, version, protocol, port).await?;
            if families.v6 {
                client.unset_v6(program, version, protocol, port).await?;
                client.set_v6(program, version, protocol, port).await?;
            }
        }
        tracing::info!("the lock manager is registered again, so that locks on local mounts work");
        Ok(true)
    }
}

/// Whether this machine mounts from another server in a way that uses the kernel's lock manager.
fn needs_lock_manager(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(2);
        let (Some("nfs"), Some(options)) = (fields.next(), fields.next()) else { return false };
        let mut address = None;
        for option in options.split(',') {
            match option {
                "nolock" | "local_lock=all" => return false,
                _ => address = option.strip_prefix("addr=").or(address),
            }
        }
        let address = address.and_then(|address| address.parse().ok());
        !address.is_some_and(is_own)
    })
}

/// Whether an address is one of this machine's: only those can be bound.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_from_elsewhere_that_lock_there_need_the_kernels_lock_manager() {
        let line = |kind: &str, options: &str| format!("proc /proc proc rw 0 0\nhost:/x /mnt {kind} {options} 0 0\n");
        assert!(needs_lock_manager(&line("nfs", "rw,vers=3,local_lock=none,addr=192.0.2.7")));
        assert!(!needs_lock_manager(&line("nfs", "rw,vers=3,local_lock=none,mountaddr=127.0.0.1,addr=127.0.0.1")));
        assert!(!needs_lock_manager(&line("nfs", "rw,vers=3,nolock,local_lock=all,addr=192.0.2.7")));
        assert!(!needs_lock_manager(&line("nfs4", "rw,vers=4.2,local_lock=none,addr=192.0.2.7")));
        assert!(!needs_lock_manager("garbage\n\n x"));
    }
}
