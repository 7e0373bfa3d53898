//! What mount(8) is told, by operating system: for the commands that are printed, and for the verb that runs them.

use super::{NFS_PORT, Reach, host};

/// Nothing on a mount may act on the machine that mounts it (D1); the kernel enforces it a second time.
pub const SAFE: &str = "ro,nosuid,nodev,noexec";

/// A system with an NFS client that has mount(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux.
    Linux,
    /// macOS.
    Mac,
}

/// The gateway as mount(8) is to call it.
pub fn nfs_host(reach: &Reach) -> Option<String> {
    reach.nfs.first().map(|address| host(*address))
}

/// The options, with the protection that the endpoint is shown with (`xprtsec=`); `None`: this system cannot mount it.
pub fn options(reach: &Reach, system: System, xprtsec: Option<&str>) -> Option<String> {
    let port = reach.nfs.first()?.port();
    let is_plain = reach.portmapped && port == NFS_PORT;
    let ports = format!(",vers=3,tcp,port={port},mountport={port}");
    match system {
        System::Linux => {
            let ports = if is_plain { String::new() } else { format!("{ports},nolock") };
            let protection = xprtsec.map(|kind| format!(",xprtsec={kind}")).unwrap_or_default();
            Some(format!("{SAFE}{ports}{protection}"))
        }
        System::Mac if xprtsec.is_some() => None,
        System::Mac => {
            let ports = if is_plain { ",vers=3,tcp".to_owned() } else { ports };
            Some(format!("{SAFE}{ports},locallocks,mutejukebox"))
        }
    }
}
