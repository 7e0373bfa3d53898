//! The gateway as a service of systemd: what it tells, and the unit that is shipped.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Start};
use crate::support::process::{self, missing};
use crate::support::skip::skip_if;

fn heard(socket: &UnixDatagram) -> String {
    let mut words = [0; 1000];
    let length = socket.recv(&mut words).expect("the service says something");
    String::from_utf8_lossy(&words[..length]).into_owned()
}

fn is_told_all(socket: &UnixDatagram, name: &str) {
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let folder = TempDir::new().unwrap();
    let start = Start::demo(&[], folder.path()).variable("NOTIFY_SOCKET", name).variable("WATCHDOG_USEC", "200000");
    let mut gateway = Gateway::start(start);
    let ready = heard(socket);
    assert!(ready.starts_with("READY=1\nSTATUS=NFS on 127.0.0.1:"), "{ready}");
    assert!(ready.contains(&format!(":{}, WebDAV and browsers on http", gateway.nfs_port())), "{ready}");
    for _ in 0..3 {
        assert_eq!(heard(socket), "WATCHDOG=1");
    }
    gateway.stop();
    let last = std::iter::repeat_with(|| heard(socket)).find(|words| words != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[test]
fn the_service_manager_hears_that_it_serves_that_it_lives_and_that_it_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    is_told_all(&UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
    let name = format!("raptorgate-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    is_told_all(&UnixDatagram::bind_addr(&abstract_name).unwrap(), &format!("@{name}"));
}

#[test]
fn a_service_manager_that_does_not_listen_holds_nothing_up() {
    let folder = TempDir::new().unwrap();
    let mut gateway = Gateway::start(Start::demo(&[], folder.path()).variable("NOTIFY_SOCKET", "/no/such/socket"));
    gateway.stop();
}

#[test]
fn the_shipped_unit_is_valid_and_gives_the_service_little() {
    skip_if!(missing(&["systemd-analyze"]));
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/raptorgate.service");
    let unit = fs::read_to_string(unit).unwrap();
    let installed = "/usr/local/bin/raptorgate";
    assert!(unit.contains(&format!("ExecStart={installed} serve ")));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("raptorgate.service");
    fs::write(&path, unit.replace(&format!("={installed}"), &format!("={}", env!("CARGO_BIN_EXE_raptorgate"))))
        .unwrap();
    let limit = Duration::from_secs(60);
    let verified = process::run(Command::new("systemd-analyze").arg("verify").arg(&path), limit);
    assert!(verified.succeeded() && verified.stderr.trim().is_empty(), "{}{}", verified.text(), verified.stderr);
    let security = ["security", "--offline=true", "--threshold=20"];
    let judged = process::run(Command::new("systemd-analyze").args(security).arg(&path), limit);
    assert!(judged.succeeded(), "{}{}", judged.text(), judged.stderr);
}
