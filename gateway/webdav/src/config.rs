//! How the service behaves: what the program passes in.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use access::TlsFiles;
use vfs::Principal;

/// What opening a file that was never collected does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opening {
    /// It collects the file.
    #[default]
    Collects,
    /// It is refused: files are collected where somebody asks for it (the browser's button, `?collect`, `raptorgate collect`).
    Manual,
}

/// What becomes of programs, scripts, shortcuts and documents with macros that Windows or macOS open through a drive (D25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Samples {
    /// They are refused: the browser and `?as=zip` have them, packed.
    #[default]
    Packed,
    /// They are served as any other file.
    Raw,
}

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
    /// (docs/webdav-clients.md §2.1). Larger ones are answered 507 (D21), unless the client has the kit.
    pub windows_listing_limit: u64,
    /// Every Windows client here has the kit (`deploy/clients/windows`), not only those that ask below `/raised`.
    pub windows_limits_raised: bool,
    /// What opening a file that was never collected does, for clients that are no browsers.
    pub opening: Opening,
    /// What becomes of samples that a drive opens.
    pub samples: Samples,
    /// Empty files at the roots of endpoints that keep macOS from indexing and drawing previews (docs/webdav-clients.md §3.4).
    pub macos_markers: bool,
    /// Our certificate: then every listener speaks TLS, and HTTP/2 to who knows it. The files are read again when they change.
    pub tls: Option<TlsFiles>,
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
            windows_limits_raised: false,
            opening: Opening::default(),
            samples: Samples::default(),
            macos_markers: true,
            tls: None,
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
            .field("tls", &self.tls)
            .field("control_socket", &self.control_socket)
            .finish_non_exhaustive()
    }
}
