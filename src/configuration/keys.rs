//! Every key of a gateway, once: its name, its meaning, its default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::quantity;

/// Where the state is.
#[derive(Debug, Clone, Default, Args)]
pub struct StateKeys {
    /// Directory for cache, keys and ledger [default: one for this user; a demo has its own]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// What `demo` and `serve` share.
#[derive(Debug, Clone, Args)]
pub struct GatewayKeys {
    /// File with these settings in YAML, under the names of the flags with `_` for `-`; flags beat it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub state: StateKeys,
    /// Listen for NFS here; may be repeated [default: port 2049 of the loopback]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Listeners")]
    pub nfs: Vec<Listen>,
    /// Listen for WebDAV and browsers here; may be repeated [default: port 8080 of the loopback]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Listeners")]
    pub webdav: Vec<Listen>,
    /// A further host name by which browsers and WebDAV clients reach this gateway; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Listeners")]
    pub host: Vec<String>,
    /// How NFS clients learn the ports
    #[arg(long, value_enum, default_value_t, help_heading = "Listeners")]
    pub portmap: Portmap,
    /// No password for WebDAV and browsers on the loopback: every program of this machine may read all endpoints
    #[arg(long, help_heading = "Listeners")]
    pub no_auth: bool,
    /// Listen beyond the loopback, although NFS asks nobody who he is and WebDAV is not encrypted
    #[arg(long, help_heading = "Listeners")]
    pub insecure_no_auth: bool,
    /// Let every program of this machine use NFS, not only kernels, root and you
    #[arg(long, help_heading = "Listeners")]
    pub nfs_any_process: bool,
    /// The NFS clients of a network are of this kind (linux, macos, windows), whatever they do on the wire; may be repeated
    #[arg(long, value_name = "NETWORK=KIND", help_heading = "Listeners")]
    pub nfs_client: Vec<nfs::PeerRule>,

    /// Our certificate for NFS over TLS (PEM, with those between it and its CA); read again when it changes
    #[arg(long, value_name = "FILE", requires = "nfs_key", help_heading = "NFS over TLS")]
    pub nfs_certificate: Option<PathBuf>,
    /// The key of this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "nfs_certificate", help_heading = "NFS over TLS")]
    pub nfs_key: Option<PathBuf>,
    /// The CA of clients' certificates (PEM): who shows one of it asks under its name
    #[arg(long, value_name = "FILE", requires = "nfs_certificate", help_heading = "NFS over TLS")]
    pub nfs_client_ca: Option<PathBuf>,
    /// What an NFS client must have before it is shown anything
    #[arg(long, value_enum, default_value_t, help_heading = "NFS over TLS")]
    pub nfs_require: Require,
    /// Show this endpoint through TLS only; may be repeated
    #[arg(long, value_name = "CLIENT_ID", value_parser = client_id, help_heading = "NFS over TLS")]
    pub nfs_require_tls_for: Vec<String>,

    /// Our certificate for WebDAV and browsers (PEM, with those between it and its CA); read again when it changes
    #[arg(long, value_name = "FILE", requires = "webdav_key", help_heading = "WebDAV")]
    pub webdav_certificate: Option<PathBuf>,
    /// The key of this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "webdav_certificate", help_heading = "WebDAV")]
    pub webdav_key: Option<PathBuf>,
    /// What opening a file does that was never collected
    #[arg(long, value_enum, default_value_t, help_heading = "WebDAV")]
    pub webdav_opening: Opening,
    /// What Windows and macOS get if they open a program, script, shortcut or document with macros through a drive
    #[arg(long, value_enum, default_value_t, help_heading = "WebDAV")]
    pub samples: Samples,
    /// Every Windows client has the kit of the page /-/connect, not only those that mapped a drive below /raised
    #[arg(long, help_heading = "WebDAV")]
    pub windows_limits_raised: bool,
    /// Mark files that were not collected as offline for Windows, so that Explorer may leave them alone
    #[arg(long, help_heading = "WebDAV")]
    pub windows_offline_attribute: bool,
    /// No empty files at the roots of endpoints that keep macOS from indexing them
    #[arg(long, help_heading = "WebDAV")]
    pub no_macos_markers: bool,
    /// Leave a directory that could not be listed empty for davfs2, which shows no errors, instead of an entry that says so
    #[arg(long, help_heading = "WebDAV")]
    pub no_davfs2_marker: bool,

    /// A listing younger than this is served as it is
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "5m", help_heading = "Freshness")]
    pub max_age: Duration,
    /// A listing younger than this is served at once and refreshed behind; an older one is waited for
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "24h", help_heading = "Freshness")]
    pub max_stale: Duration,
    /// A collected file younger than this is served even if a newer listing differs
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "1h", help_heading = "Freshness")]
    pub copy_max_age: Duration,
    /// How long an NFS call is held while an endpoint works
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "45s", help_heading = "Freshness")]
    pub nfs_hold: Duration,
    /// How long a WebDAV request is held while an endpoint works
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "5m", help_heading = "Freshness")]
    pub webdav_hold: Duration,

    /// Opening a file up to this size collects it
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, default_value = "256MiB", help_heading = "What endpoints bear")]
    pub automatic_collection: u64,
    /// Of a larger file only what is read is collected, if the server has our artifacts (`raptorgate install-artifacts`)
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, default_value = "32MiB", help_heading = "What endpoints bear")]
    pub ranges_above: u64,
    /// Flows an hour, per user and endpoint
    #[arg(long, value_name = "NUMBER", default_value = "300", help_heading = "What endpoints bear")]
    pub flows_per_hour: u64,
    /// Bytes collected an hour, per user and endpoint
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, default_value = "4GiB", help_heading = "What endpoints bear")]
    pub bytes_per_hour: u64,
    /// Bytes collected a day, per endpoint
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, default_value = "16GiB", help_heading = "What endpoints bear")]
    pub endpoint_bytes_per_day: u64,
    /// Endpoints that a user may begin with in 10 minutes
    #[arg(long, value_name = "NUMBER", default_value = "3", help_heading = "What endpoints bear")]
    pub fan_out: usize,
    /// A flow that the endpoint has not fetched by then is cancelled
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "15m", help_heading = "What endpoints bear")]
    pub start_by: Duration,
    /// What becomes of work for an endpoint that is away
    #[arg(long, value_enum, default_value_t, help_heading = "What endpoints bear")]
    pub offline: Offline,
    /// With `--offline queue`: if the endpoint is not back by then, the flow is cancelled
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, default_value = "72h", help_heading = "What endpoints bear")]
    pub offline_queue_for: Duration,
    /// List only what is asked for, never a level more
    #[arg(long, help_heading = "What endpoints bear")]
    pub no_prefetch: bool,
    /// Show this accessor of Velociraptor too; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "What endpoints bear")]
    pub accessor: Vec<String>,

    /// Memory for listings
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, default_value = "48MiB", help_heading = "Memory")]
    pub listing_memory: u64,
    /// Memory for contents
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, default_value = "64MiB", help_heading = "Memory")]
    pub content_memory: u64,
}

/// How NFS clients learn the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Portmap {
    /// Be the portmapper if nobody else is, else register with rpcbind
    #[default]
    Auto,
    /// Be the portmapper, or fail
    Own,
    /// Only register with the rpcbind that runs
    Register,
    /// Neither: clients need mount options
    Off,
}

/// What an NFS client must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Require {
    /// Nothing: TLS is for who asks for it
    #[default]
    Nothing,
    /// TLS
    Tls,
    /// TLS, with a certificate of --nfs-client-ca
    Certificate,
}

/// What opening a file over WebDAV does that was never collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Opening {
    /// It is collected
    #[default]
    Collects,
    /// It is refused, with the address where one can ask for it
    Manual,
}

/// What a drive serves of files that the workstation might run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Samples {
    /// Nothing: the browser has them, packed and encrypted
    #[default]
    Packed,
    /// All, as they are
    Raw,
}

/// What becomes of work for an endpoint that is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Offline {
    /// It is refused
    #[default]
    Error,
    /// It is refused too, but its flow waits on the server, and what it brings is here when the endpoint is back
    Queue,
}

/// Host names change and are not unique: a rule names a client id.
fn client_id(text: &str) -> Result<String, String> {
    let is_id = text.strip_prefix("C.").is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
    if is_id { Ok(text.to_owned()) } else { Err("a client id is wanted, as `raptorgate clients` lists them".into()) }
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// This address and port.
    At(SocketAddr),
    /// This port of both loopback addresses.
    Loopback(u16),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let port = |text: &str| text.parse::<u16>().ok();
        if let Some(port) = text.strip_prefix("localhost:").and_then(port).or_else(|| port(text)) {
            return Ok(Listen::Loopback(port));
        }
        text.parse()
            .map(Listen::At)
            .map_err(|_| "ADDRESS:PORT is wanted, such as 127.0.0.1:2049, [::1]:2049 or 0.0.0.0:2049".into())
    }
}

impl Listen {
    /// The addresses. The second of the loopback may be missing on a machine without IPv6.
    pub fn addresses(self) -> Vec<SocketAddr> {
        match self {
            Listen::At(address) => vec![address],
            Listen::Loopback(port) => {
                let loopbacks: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                loopbacks.into_iter().map(|address| SocketAddr::new(address, port)).collect()
            }
        }
    }

    /// The same place with another port.
    pub fn with_port(self, port: u16) -> Listen {
        match self {
            Listen::At(address) => Listen::At(SocketAddr::new(address.ip(), port)),
            Listen::Loopback(_) => Listen::Loopback(port),
        }
    }

    /// The port.
    pub fn port(self) -> u16 {
        match self {
            Listen::At(address) => address.port(),
            Listen::Loopback(port) => port,
        }
    }
}

impl GatewayKeys {
    /// Refuses listeners that would let strangers in (D3).
    ///
    /// # Errors
    /// One line that says which listener, why, and what to do.
    pub fn check_exposure(&self) -> Result<(), String> {
        if self.insecure_no_auth {
            return Ok(());
        }
        let exposed = |listeners: &[Listen]| {
            let all = listeners.iter().flat_map(|listen| listen.addresses());
            all.into_iter().find(|address| !address.ip().to_canonical().is_loopback())
        };
        let nfs_knows_its_clients = self.nfs_require == Require::Certificate;
        if let Some(address) = exposed(&self.nfs).filter(|_| !nfs_knows_its_clients) {
            return Err(format!(
                "--nfs {address} is reachable from other machines, and NFSv3 has no passwords: listen on the loopback, \
                 or have clients show certificates (--nfs-require certificate), or add --insecure-no-auth if everybody who reaches this port may read every endpoint"
            ));
        }
        if let Some(address) = exposed(&self.webdav) {
            if self.webdav_certificate.is_none() {
                return Err(format!(
                    "--webdav {address} is reachable from other machines, and what it serves, password included, travels \
                     unencrypted: give it a certificate (--webdav-certificate, --webdav-key), or listen on the loopback, or add \
                     --insecure-no-auth if everybody on this network may read every endpoint"
                ));
            }
            if self.no_auth {
                return Err(format!(
                    "--webdav {address} is reachable from other machines, and with --no-auth everybody there may read every \
                     endpoint: leave out --no-auth, or add --insecure-no-auth if that is meant"
                ));
            }
        }
        Ok(())
    }
}
