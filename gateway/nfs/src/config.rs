//! What can be set, with defaults that suit one analyst's machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use access::TlsFiles;
use vfs::Principal;

use crate::peer::PeerRule;

/// The port that NFS clients expect.
pub const NFS_PORT: u16 = 2049;
/// The port of the portmapper.
pub const PORTMAP_PORT: u16 = 111;

/// How the server listens and whom it serves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses for NFS and, unless `mount_port` is set, for all other programs. A wildcard IPv6 address takes IPv4 too, unless an
    /// IPv4 address with the same port is listed. An address whose family this machine lacks is skipped if another one works.
    pub listen: Vec<SocketAddr>,
    /// A port of its own for the MOUNT program; `None`: the NFS port.
    pub mount_port: Option<u16>,
    /// How clients find out about the ports.
    pub portmap: PortmapMode,
    /// The portmapper's port. Clients only ever ask 111; anything else is for tests.
    pub portmap_port: u16,
    /// How long a call is held before JUKEBOX is the better answer (D34).
    pub hold: Duration,
    /// Let every process of this machine in, not only kernels, root and the owner (D3).
    pub loopback_any: bool,
    /// Which clients are at which addresses; others are told apart by what they do on the wire.
    pub peers: Vec<PeerRule>,
    /// For whom flows are started.
    pub principal: Principal,
    /// Our certificate; `None`: no TLS.
    pub tls: Option<TlsFiles>,
    /// What every connection must have before it is told anything.
    pub require: Require,
    /// Client ids of endpoints that are shown through TLS only.
    pub require_tls_for: Vec<String>,
    /// Bounds of everything a peer can make grow.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), NFS_PORT),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), NFS_PORT),
            ],
            mount_port: None,
            portmap: PortmapMode::Auto,
            portmap_port: PORTMAP_PORT,
            hold: Duration::from_secs(45),
            loopback_any: false,
            peers: Vec::new(),
            principal: Principal::new("local"),
            tls: None,
            require: Require::Nothing,
            require_tls_for: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// How clients find out about the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PortmapMode {
    /// Be the portmapper if nobody else is, else register with the one that runs.
    #[default]
    Auto,
    /// Be the portmapper, or fail.
    Own,
    /// Only register with the portmapper that runs.
    Register,
    /// Neither: clients need mount options.
    Off,
}

/// What a connection must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Require {
    /// Nothing: TLS is for who asks for it.
    #[default]
    Nothing,
    /// TLS.
    Tls,
    /// TLS, with a certificate of the clients' CA.
    Certificate,
}

/// Bounds of everything a peer can make grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one record or datagram from a client.
    pub record_bytes: usize,
    /// Bytes of records that have not arrived whole, of all connections; past it those that send long ones are closed.
    pub unfinished_bytes: usize,
    /// Bytes of replies waiting for one connection before it is read no further.
    pub queued_bytes: usize,
    /// The same of all connections together: past it, each has at most 64 KiB or one reply waiting, and those that take nothing are
    /// disconnected sooner.
    pub queued_bytes_total: usize,
    /// Bytes of READ that one connection may wait for at a time; further READs wait their turn.
    pub reading_bytes: usize,
    /// The same for all connections together.
    pub reading_bytes_total: usize,
    /// Held calls of one connection; past it the answer is JUKEBOX at once (D34).
    pub held_per_connection: usize,
    /// Held calls of all connections (D34).
    pub held: usize,
    /// Connections from one address. At this cap and the next, the oldest connection that has never called makes room.
    pub connections_per_peer: usize,
    /// Connections from everywhere.
    pub connections: usize,
    /// A connection without a call for so long is closed. Linux closes its own idle connections after 5 minutes.
    pub idle: Duration,
    /// A new connection has to bring its first record, and every record its last byte, within this time.
    pub record_time: Duration,
    /// A TLS handshake has to end within this time. Linux gives it up after 20 s itself.
    pub handshake_time: Duration,
    /// A client that takes none of its replies for so long is disconnected.
    pub stall: Duration,
    /// The same while `queued_bytes_total` is passed.
    pub pressed_stall: Duration,
    /// How long [`crate::Server::stop`] waits for calls that are being answered.
    pub drain: Duration,
}

impl Limits {
    /// Lowers the numbers of connections so that `descriptors` open files leave a quarter for everything else: a server that is
    /// out of descriptors cannot open its own files any more.
    pub(crate) fn within_descriptors(mut self, descriptors: usize) -> Limits {
        self.connections = self.connections.min(descriptors / 4 * 3);
        self.connections_per_peer = self.connections_per_peer.min(self.connections);
        self
    }
}

/// How many files this process may have open; `None` if the system does not tell.
pub(crate) fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            record_bytes: 64 << 10,
            unfinished_bytes: 16 << 20,
            queued_bytes: 8 << 20,
            queued_bytes_total: 64 << 20,
            reading_bytes: 64 << 20,
            reading_bytes_total: 512 << 20,
            held_per_connection: 4_096,
            held: 65_536,
            connections_per_peer: 2_048,
            connections: 8_192,
            idle: Duration::from_secs(15 * 60),
            record_time: Duration::from_secs(30),
            handshake_time: Duration::from_secs(20),
            stall: Duration::from_secs(120),
            pressed_stall: Duration::from_secs(5),
            drain: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest_of_the_program() {
        let limits = Limits::default().within_descriptors(1024);
        assert_eq!((limits.connections, limits.connections_per_peer), (768, 768));
        assert_eq!(Limits::default().within_descriptors(1 << 20), Limits::default());
        if cfg!(target_os = "linux") {
            assert!(descriptors().is_some_and(|count| count > 0));
        }
    }
}
