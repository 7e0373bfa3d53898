//! A network namespace of a test's own: ports 111 and 2049 are free there, whatever the machine runs.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::process::{self, Finished, is_root, missing};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A namespace; gone with the value.
pub struct Namespace {
    /// As `ip netns` knows it.
    pub name: String,
}

/// Why no namespace can be made here.
pub fn obstacle() -> Option<String> {
    if !is_root() {
        return Some("a network namespace needs root".to_owned());
    }
    missing(&["ip"]).or_else(|| {
        let probe = format!("raptorgate-probe-{}", std::process::id());
        let made = process::run(Command::new("ip").args(["netns", "add", &probe]), Duration::from_secs(10));
        let removed = process::run(Command::new("ip").args(["netns", "del", &probe]), Duration::from_secs(10));
        (!made.succeeded() || !removed.succeeded()).then(|| format!("no network namespaces here: {}", made.stderr))
    })
}

impl Namespace {
    /// A new one, with its loopback up.
    pub fn new() -> Namespace {
        let name = format!("raptorgate-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]).expect("ip netns add");
        let namespace = Namespace { name };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"]).expect("ip link set lo up");
        namespace
    }

    /// A program to be run inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _gone = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Finished {
    process::run(Command::new("ip").args(arguments), Duration::from_secs(10))
}

/// A port of the loopback that nobody uses, for TCP and UDP.
pub fn free_port() -> u16 {
    loop {
        let tcp = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
