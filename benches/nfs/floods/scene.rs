//! The gateway, what stands behind it, and what can be seen of it from outside.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use simulator::{Config, EndpointConfig, Simulator, Timing};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::call::{Connection, Handle, Reply};
use crate::flood::Memory;
use crate::support::gateway::{Gateway, Start};

const HOST: &str = "127.0.0.1";
/// Bytes of the file that is read.
pub const FILE: usize = 32 << 20;
/// Directories that nobody has listed.
pub const DIRECTORIES: usize = 100;

/// The real program before a simulated deployment with one endpoint.
pub struct Scene {
    /// Ended first.
    gateway: Gateway,
    pub runtime: Runtime,
    pub simulator: Simulator,
    client: String,
    _folders: TempDir,
}

impl Scene {
    pub fn start() -> Scene {
        let folders = tempfile::Builder::new().prefix("floods-").tempdir().unwrap();
        let root = folders.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), vec![7; FILE]).unwrap();
        for number in 0..DIRECTORIES {
            let directory = root.join(format!("waits/{number}"));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("inside"), b"x").unwrap();
        }
        let runtime = Runtime::new().unwrap();
        let endpoints = vec![EndpointConfig::directory("flooded", Path::new(&root))];
        let config = Config { endpoints, timing: Timing::instant(), ..Config::new(&folders.path().join("server")) };
        let simulator = runtime.block_on(Simulator::start(config)).unwrap();
        let start = Start::serve(simulator.api_config(), &folders.path().join("gateway"));
        let gateway = Gateway::start(start.with(["--no-prefetch", "--log", "warn"]));
        let client = gateway.ready().clients[0].client_id.clone();
        let scene = Scene { gateway, runtime, simulator, client, _folders: folders };
        let (mut connection, file) = scene.client();
        for chunk in 0..FILE >> 20 {
            patiently(&mut connection, |connection| connection.read(&file, (chunk as u64) << 20, 1 << 20));
        }
        scene
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(HOST.parse().unwrap(), self.gateway.nfs_port())
    }

    /// A connection, and the file.
    pub fn client(&self) -> (Connection, Handle) {
        let mut connection = self.connection();
        let root = connection.mount(&format!("/{}/auto", self.client)).expect("MNT");
        let file = patiently(&mut connection, |connection| connection.lookup(&root, "file"));
        (connection, file)
    }

    pub fn connection(&self) -> Connection {
        Connection::open(HOST, self.gateway.nfs_port()).expect("the NFS service")
    }

    /// The directories that nobody has listed.
    pub fn unlisted(&self) -> Vec<Handle> {
        let mut connection = self.connection();
        let waits = connection.mount(&format!("/{}/auto/waits", self.client)).expect("MNT");
        let handle =
            |number: usize| patiently(&mut connection, |connection| connection.lookup(&waits, &number.to_string()));
        (0..DIRECTORIES).map(handle).collect()
    }

    /// The memory of the gateway.
    pub fn memory(&self) -> Memory {
        Memory(self.gateway.pid())
    }
}

fn patiently<T>(
    connection: &mut Connection,
    mut attempt: impl FnMut(&mut Connection) -> std::io::Result<Reply<T>>,
) -> T {
    loop {
        match attempt(connection).expect("an answer") {
            Reply::Done(value) => return value,
            Reply::Later => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
