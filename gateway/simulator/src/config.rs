//! What a deployment consists of: where its state lives, its endpoints and their trees.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::gui::GuiConfig;
use crate::timing::Timing;

/// A whole deployment: one server and its endpoints.
#[derive(Clone, Debug)]
pub struct Config {
    /// The simulator keeps everything in the folder `simulator` below this directory.
    pub state: PathBuf,
    /// Where the API listens; port 0 takes a free one (`api_client.yaml` names it).
    pub listen: SocketAddr,
    /// The GUI's port, if the deployment is to have one.
    pub gui: Option<GuiConfig>,
    /// The endpoints.
    pub endpoints: Vec<EndpointConfig>,
    /// Timers of every endpoint that has none of its own.
    pub timing: Timing,
    /// Generated trees, derived ids and chance follow from it.
    pub seed: u64,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// `C.` and 16 lower-case hex digits; derived from host name and seed when absent.
    pub client_id: Option<String>,
    /// The endpoint's host name.
    pub hostname: String,
    /// Its operating system.
    pub system: System,
    /// What its file system holds.
    pub tree: Tree,
    /// Whether it is connected at start. A generated endpoint that starts offline for the first time has been
    /// visited before: the server holds a few listings and files of it.
    pub online: bool,
    /// Timers of this endpoint alone.
    pub timing: Option<Timing>,
    /// Labels that the server knows.
    pub labels: Vec<String>,
}

/// An endpoint's operating system, as `os_info.system` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// `windows`
    Windows,
    /// `linux`
    Linux,
    /// `darwin`
    Darwin,
}

impl System {
    /// The word of `os_info.system`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Darwin => "darwin",
        }
    }
}

/// An endpoint's file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A real directory of this machine, shown as `/`; links never leave it.
    Directory(PathBuf),
    /// A tree made from the seed as it is walked.
    Generated(Generated),
    /// So many directories below `/`, so many empty files in each: for measuring sizes that no disk should have to hold.
    Even {
        /// Directories.
        directories: u32,
        /// Files in each of them.
        files: u32,
    },
}

/// Which generated tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// Drives, shadow copies, registry, Users, Windows and Program Files.
    Windows,
    /// A Linux server: /etc, /home, /proc, /dev, links, huge directories and files.
    Linux,
}

impl EndpointConfig {
    /// An online Linux endpoint whose `/` is a directory of this machine.
    #[must_use]
    pub fn directory(hostname: &str, root: &Path) -> Self {
        Self {
            client_id: None,
            hostname: hostname.to_string(),
            system: System::Linux,
            tree: Tree::Directory(root.to_path_buf()),
            online: true,
            timing: None,
            labels: Vec::new(),
        }
    }

    /// An online endpoint with a generated tree.
    #[must_use]
    pub fn generated(hostname: &str, tree: Generated) -> Self {
        let system = match tree {
            Generated::Windows => System::Windows,
            Generated::Linux => System::Linux,
        };
        Self { system, tree: Tree::Generated(tree), ..Self::directory(hostname, Path::new("/")) }
    }

    /// The same endpoint, disconnected at start.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.online = false;
        self
    }
}

impl Config {
    /// A deployment without endpoints, on a free port of the loopback.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self {
            state: state.to_path_buf(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            gui: None,
            endpoints: Vec::new(),
            timing: Timing::measured(),
            seed: 1,
        }
    }

    /// The demo: a Windows-like, a Linux-like and an offline endpoint, with `max_poll: 2`.
    #[must_use]
    pub fn demo(state: &Path) -> Self {
        let mut windows = EndpointConfig::generated("desk-042", Generated::Windows);
        windows.labels = vec!["workstations".to_string()];
        let mut linux = EndpointConfig::generated("web-01", Generated::Linux);
        linux.labels = vec!["servers".to_string()];
        let mut offline = EndpointConfig::generated("laptop-7", Generated::Windows).offline();
        offline.labels = vec!["workstations".to_string(), "travelling".to_string()];
        Self { endpoints: vec![windows, linux, offline], timing: Timing::brisk(), ..Self::new(state) }
    }
}
