//! What this machine has for a mount, what it lacks, and what the complaints of mount(8) mean.

use std::path::{Path, PathBuf};

use super::plan::Plan;
use crate::announce::mount::System;

/// What was looked at.
#[derive(Debug, Clone)]
pub struct Machine {
    /// `None`: there is no mount(8) that we know.
    pub system: Option<System>,
    is_root: bool,
    /// The program by which mount(8) mounts NFS is there.
    has_helper: bool,
    /// The kernel has its NFS client loaded; it may load it at the first mount.
    has_client: bool,
    /// `tlshd`, which does the kernel's handshakes, is there.
    has_tlshd: bool,
}

impl Machine {
    /// This one.
    pub fn this() -> Machine {
        let system = match std::env::consts::OS {
            "linux" => Some(System::Linux),
            "macos" => Some(System::Mac),
            _ => None,
        };
        let helper = if system == Some(System::Mac) { "mount_nfs" } else { "mount.nfs" };
        let file_systems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        Machine {
            system,
            is_root: rustix::process::geteuid().is_root(),
            has_helper: is_installed(helper),
            has_client: file_systems.lines().any(|line| line.trim_start_matches("nodev").trim() == "nfs"),
            has_tlshd: is_installed("tlshd"),
        }
    }

    /// Why mounting need not be tried.
    pub fn obstacle(&self, plan: &Plan) -> Option<String> {
        if !self.has_helper {
            return Some(match self.system {
                Some(System::Linux) => {
                    "mount.nfs is not installed: it is in the package nfs-common (Debian, Ubuntu), nfs-utils \
                     (Fedora, RHEL, Arch, Alpine) or nfs-client (SUSE)"
                        .into()
                }
                _ => "mount_nfs is not where it belongs (/sbin)".into(),
            });
        }
        if plan.protection.is_some() && self.system == Some(System::Linux) && !self.has_tlshd {
            return Some(
                "the gateway shows this through TLS only, and tlshd, which does the kernel's handshakes, is not installed: it is \
                 in the package ktls-utils"
                    .into(),
            );
        }
        (!self.is_root).then(|| format!("mounting is for root; this does it:\n{}", plan.as_root()))
    }

    /// What a complaint of mount(8) means here, and what to do.
    pub fn explain(&self, complaint: &str, plan: &Plan) -> Option<String> {
        let says = |text: &str| complaint.contains(text);
        if says("access denied by server") {
            let certificate = match &plan.protection {
                Some(_) => "; with TLS also if the certificate of either side is not accepted (see what tlshd logs)",
                None => "",
            };
            return Some(format!("the gateway's log says why (\"mount refused\"){certificate}"));
        }
        if says("rpc.statd is not running") {
            return Some("this machine has no status monitor for locks: mount with `-o nolock`".into());
        }
        if says("Protocol not supported") && plan.protection.is_some() {
            return Some("the kernel could not do TLS: Linux 6.5 or later is needed, and tlshd must run".into());
        }
        if says("unknown filesystem type") || says("No such device") || (says("not supported") && !self.has_client) {
            return Some(
                "this kernel has no NFS client (as in many containers): mount on the machine around it, or use WebDAV with \
                 rclone or a browser"
                    .into(),
            );
        }
        if says("Connection refused") || says("timed out") {
            return Some(
                "nobody answers there: does the gateway still run, and does a firewall let its port through?".into(),
            );
        }
        if says("Operation not permitted") || says("permission denied") {
            return Some(
                "this process may not mount, although it is root (as in a container without CAP_SYS_ADMIN)".into(),
            );
        }
        None
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let of_root = ["/sbin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(of_root).any(|folder| Path::new(&folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Machine =
        Machine { system: Some(System::Linux), is_root: true, has_helper: true, has_client: true, has_tlshd: true };

    fn plan(protection: Option<&str>) -> Plan {
        Plan {
            source: "127.0.0.1:/C.1".into(),
            directory: "/mnt".into(),
            options: "ro".into(),
            protection: protection.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let (plain, tls) = (plan(None), plan(Some("tls")));
        assert_eq!(ALL.obstacle(&plain), None);
        assert_eq!(ALL.obstacle(&tls), None);
        let told = |machine: Machine, plan: &Plan| machine.obstacle(plan).unwrap();
        assert!(told(Machine { has_helper: false, ..ALL }, &plain).contains("nfs-common"));
        assert!(told(Machine { has_tlshd: false, ..ALL }, &tls).contains("ktls-utils"));
        assert_eq!(Machine { has_tlshd: false, ..ALL }.obstacle(&plain), None);
        let line = told(Machine { is_root: false, ..ALL }, &plain);
        assert!(line.ends_with("\nsudo mkdir -p /mnt && sudo mount -t nfs -o ro 127.0.0.1:/C.1 /mnt"), "{line}");
    }

    #[test]
    fn complaints_of_mount_are_explained() {
        for (complaint, protection, part) in [
            ("mount.nfs: access denied by server while mounting 127.0.0.1:/C.1", None, "gateway's log"),
            ("mount.nfs: access denied by server while mounting 127.0.0.1:/C.1", Some("mtls"), "certificate"),
            ("mount.nfs: rpc.statd is not running but is required for remote locking.", None, "nolock"),
            ("mount.nfs: Protocol not supported for 127.0.0.1:/C.1", Some("tls"), "tlshd"),
            ("mount: /mnt: unknown filesystem type 'nfs'.", None, "no NFS client"),
            ("mount.nfs: No such device", None, "no NFS client"),
            ("mount.nfs: Connection refused for 127.0.0.1:/C.1 on /mnt", None, "nobody answers"),
            ("mount.nfs: Operation not permitted", None, "CAP_SYS_ADMIN"),
        ] {
            let explained = ALL.explain(complaint, &plan(protection)).unwrap();
            assert!(explained.contains(part), "{complaint}: {explained}");
        }
        assert_eq!(ALL.explain("mount.nfs: something new", &plan(None)), None);
    }
}
