//! The gateway, what stands behind it, and what can be seen of it from outside.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use simulator::{Config, EndpointConfig, Simulator, Timing};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::flood::Memory;
use crate::http::{Connection, Target};
use crate::support::gateway::{Gateway, Start};

/// Bytes of the file that is asked for in many ranges.
const FILE: usize = 8 << 20;
/// Directories that nobody has listed.
pub const UNLISTED: usize = 100;
/// Children of the folder that Explorer opens.
pub const CHILDREN: usize = 22;
/// Entries of the large directory.
const LARGE: usize = 100_000;

/// The real program before a simulated deployment with one endpoint.
pub struct Scene {
    /// Ended first.
    gateway: Gateway,
    pub runtime: Runtime,
    pub simulator: Simulator,
    pub folder: String,
    pub authorization: String,
    login: String,
    _folders: TempDir,
}

impl Scene {
    pub fn start() -> Scene {
        let folders = tempfile::Builder::new().prefix("floods-").tempdir().unwrap();
        let root = folders.path().join("root");
        for folder in ["opened", "large", "waits"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("file"), vec![7; FILE]).unwrap();
        for number in 0..CHILDREN {
            fs::write(root.join(format!("opened/child {number}.txt")), b"x").unwrap();
        }
        for number in 0..LARGE {
            fs::write(root.join(format!("large/file-{number:06}.bin")), b"").unwrap();
        }
        for number in 0..UNLISTED {
            fs::create_dir(root.join(format!("waits/{number}"))).unwrap();
        }
        let runtime = Runtime::new().unwrap();
        let endpoints = vec![EndpointConfig::directory("flooded", Path::new(&root))];
        let config = Config { endpoints, timing: Timing::instant(), ..Config::new(&folders.path().join("server")) };
        let simulator = runtime.block_on(Simulator::start(config)).unwrap();
        let start = Start::serve(simulator.api_config(), &folders.path().join("gateway"));
        let gateway = Gateway::start(start.with(["--no-prefetch", "--log", "error"]));
        let ready = gateway.ready();
        let folder = format!("/{}/auto/", ready.clients[0].client_id);
        let login = format!("{}:{}", ready.user.as_deref().unwrap(), ready.password.as_deref().unwrap());
        let authorization = gateway.http().authorization.clone().unwrap();
        let scene = Scene { gateway, runtime, simulator, folder, authorization, login, _folders: folders };
        for directory in ["", "opened", "large", "waits"] {
            scene.once(&scene.target().propfind(directory, ""), 207);
        }
        scene.once(&scene.target().get("file"), 200);
        scene
    }

    /// For requests below the endpoint's root.
    pub fn target(&self) -> Target {
        Target::new(&self.address().to_string(), &self.folder, Some(&self.login))
    }

    fn once(&self, request: &[u8], status: u16) {
        let mut connection = Connection::open(&self.target()).expect("a connection");
        connection.send(request).expect("a request");
        let head = connection.head().expect("an answer");
        assert_eq!(head.status, status);
        connection.body(&head, |_| {}).expect("all of it");
    }

    pub fn address(&self) -> SocketAddr {
        let url = &self.gateway.ready().webdav;
        url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
    }

    /// The memory of the gateway.
    pub fn memory(&self) -> Memory {
        Memory(self.gateway.pid())
    }
}
