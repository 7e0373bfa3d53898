//! What this machine offers: ports, a portmapper, mount helpers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

const NFS: u16 = 2049;
const WEBDAV: u16 = 8080;
const PORTMAPPER: u16 = 111;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is, in words, with what to do.
    pub words: String,
}

/// Looks at ports, portmapper and mount helpers; `running` is the status of the gateway that runs.
pub fn look(running: Option<&Value>) -> Vec<Finding> {
    let used = |port: u16| {
        let suffix = format!(":{port}");
        let nfs = running.and_then(|status| status["nfs"].as_array()).into_iter().flatten().filter_map(Value::as_str);
        let webdav = running.and_then(|status| status["webdav"].as_str());
        nfs.chain(webdav).any(|address| address.trim_end_matches('/').ends_with(&suffix))
    };
    vec![
        Finding { what: "port 2049 (NFS)", words: port(NFS, used(NFS)) },
        Finding { what: "port 8080 (WebDAV)", words: port(WEBDAV, used(WEBDAV)) },
        Finding { what: "rpcbind", words: portmapper(running) },
        Finding { what: "mount helpers", words: helpers() },
    ]
}

fn port(port: u16, used_by_gateway: bool) -> String {
    if used_by_gateway {
        return "the gateway listens there".into();
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => "free".into(),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            "used by another program: stop it, or give the gateway another port".into()
        }
        Err(error) => format!("cannot be listened on ({error})"),
    }
}

fn portmapper(running: Option<&Value>) -> String {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTMAPPER));
    let answers = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    let mapped = running.and_then(|status| status["portmapped"].as_bool());
    match (answers, mapped) {
        (_, Some(true)) => "clients learn the ports: `mount -t nfs` needs no options".into(),
        (true, _) => "runs: a gateway started as root registers with it, and `mount -t nfs` needs no options".into(),
        (false, _) if may_be_portmapper() => "does not run: the gateway answers on port 111 itself".into(),
        (false, _) => "does not run, and port 111 needs root: mounts need the options that the gateway prints".into(),
    }
}

fn may_be_portmapper() -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, PORTMAPPER)).is_ok()
}

fn helpers() -> String {
    let known = [("mount.nfs", "NFS"), ("mount.davfs", "davfs2"), ("rclone", "rclone")];
    let places = ["/sbin", "/usr/sbin", "/usr/bin", "/usr/local/bin"];
    let installed = |program: &str| places.iter().any(|place| Path::new(place).join(program).exists());
    let found: Vec<&str> = known.iter().filter(|(program, _)| installed(program)).map(|(_, name)| *name).collect();
    if found.is_empty() {
        "none: install nfs-common (Debian, Ubuntu) or nfs-utils (Fedora, RHEL) to mount on this machine".into()
    } else {
        format!("{} on this machine", found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_of_the_running_gateway_are_not_taken_for_somebody_elses() {
        let running =
            serde_json::json!({ "nfs": ["127.0.0.1:2049"], "webdav": "http://127.0.0.1:8080/", "portmapped": true });
        let findings = look(Some(&running));
        assert!(findings[..2].iter().all(|finding| finding.words == "the gateway listens there"), "{findings:?}");
        assert!(findings[2].words.contains("no options"), "{findings:?}");
    }
}
