//! How the service behaves: what the program passes in.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vfs::Principal;

/// User name and password of Basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name. A `DOMAIN\` before it is ignored when a client sends one.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({})", self.user)
    }
}

/// Settings of the service.
#[derive(Clone)]
pub struct Config {
    /// Addresses to listen on. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// What every request over TCP must carry (D3); `None` turns authentication off.
    pub credentials: Option<Credentials>,
    /// Further names that `Host` may have, without port. Loopback names and the address of the socket itself are always allowed.
    pub hosts: Vec<String>,
    /// How long clients that bear it are held while an endpoint works (docs/webdav-clients.md §2.7). Clients known to bear less
    /// are held shorter, browsers not at all.
    pub hold: Duration,
    /// In whose name requests are made.
    pub principal: Principal,
    /// A Unix socket that serves the same without authentication to the owner of this process.
    pub control_socket: Option<PathBuf>,
    /// What `/-/api/v1/status` says besides the endpoints: version, listeners.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// What `/-/api/v1/connections` says: who is connected over other protocols.
    pub connections: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// The text of `/-/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Titles and commands of the page `/-/connect`.
    pub connect: Vec<(String, String)>,
    /// Show davfs2 an entry that says so where a directory could not be listed (D37). davfs2 shows every error as an empty directory.
    pub not_listed_marker: bool,
    /// Mark files that were not collected as offline in `Win32FileAttributes` (docs/webdav-clients.md §3.3).
    pub offline_attribute: bool,
    /// The largest PROPFIND answer for the Windows client, in bytes; it reports a meaningless error for more than its own limit
    /// (docs/webdav-clients.md §2.1). Larger ones are answered 507 (D21).
    pub windows_listing_limit: u64,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Time in which a client must send a request's header, and in which an idle connection is closed.
    pub header_timeout: Duration,
    /// Time without any progress after which a client that does not read its answer is cut off.
    pub write_timeout: Duration,
}

/// The limit that Windows has without any change to its registry.
const WINDOWS_DEFAULT_LISTING_LIMIT: u64 = 1_000_000;

impl Config {
    /// Defaults: no listener, no authentication, nothing but loopback names.
    pub fn new(principal: Principal) -> Config {
        Config {
            listen: Vec::new(),
            credentials: None,
            hosts: Vec::new(),
            hold: Duration::from_secs(300),
            principal,
            control_socket: None,
            status: Arc::new(|| serde_json::Value::Object(serde_json::Map::new())),
            connections: Arc::new(|| serde_json::Value::Array(Vec::new())),
            metrics: Arc::new(String::new),
            connect: Vec::new(),
            not_listed_marker: true,
            offline_attribute: false,
            windows_listing_limit: WINDOWS_DEFAULT_LISTING_LIMIT,
            max_connections: 4096,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(120),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("listen", &self.listen)
            .field("credentials", &self.credentials)
            .field("hosts", &self.hosts)
            .field("control_socket", &self.control_socket)
            .finish_non_exhaustive()
    }
}
