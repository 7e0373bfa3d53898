//! A real server, and real default clients of it, each with a directory for its file system.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use simulator::{EndpointConfig, Tree};

use crate::support::gateway::verb;
use crate::support::velociraptor::{Velociraptor, program};

/// Seconds between two polls of a default client at most.
const MAX_POLL: u32 = 60;
/// Until the bucket of a client that has just been enrolled is full.
const FULL: Duration = Duration::from_secs(330);

/// The server, and the ids of its clients by their names here: all have the host name of this machine.
pub struct Real {
    velociraptor: Velociraptor,
    clients: HashMap<String, String>,
}

/// The flows of a client.
pub struct Flows {
    pub count: u64,
    pub rows: u64,
    pub uploaded: u64,
}

impl Real {
    /// Starts them, and waits until the clients have all tokens. Needs root.
    pub fn start(endpoints: &[EndpointConfig], artifacts: bool) -> Real {
        let mut real = Real { velociraptor: Velociraptor::server(MAX_POLL), clients: HashMap::new() };
        for endpoint in endpoints {
            let Tree::Directory(root) = &endpoint.tree else { panic!("a real client has a real tree") };
            real.add_client(&endpoint.hostname, root);
        }
        if artifacts {
            let admin = real.velociraptor.text_path("admin.yaml");
            let said = verb(&["install-artifacts", "--api-config", &admin], Duration::from_secs(60));
            assert!(said.succeeded(), "{}{}", said.text(), said.stderr);
        }
        eprintln!(
            "flows: {} real clients are enrolled; in {} s they have all tokens",
            real.clients.len(),
            FULL.as_secs()
        );
        std::thread::sleep(FULL);
        real
    }

    /// Starts a client whose file system is the directory `root`, which gets what the client needs to run there.
    fn add_client(&mut self, name: &str, root: &Path) {
        let inside = format!("/velociraptor-{name}");
        let home = root.join(&inside[1..]);
        for folder in [&home, &root.join("etc"), &root.join("tmp"), &root.join("dev")] {
            fs::create_dir_all(folder).unwrap();
        }
        let null = root.join("dev/null");
        if !null.exists() {
            let made = Command::new("mknod").args(["-m", "666"]).arg(&null).args(["c", "1", "3"]).status();
            assert!(made.unwrap().success(), "mknod");
        }
        fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::copy(program().expect("asked for an obstacle before"), home.join("velociraptor")).unwrap();
        let config = fs::read_to_string(self.velociraptor.path("client.config.yaml")).unwrap();
        let config = config.replace(&self.velociraptor.text_path("client"), &inside);
        fs::write(home.join("config.yaml"), config).unwrap();
        let mut command = Command::new("chroot");
        command.arg(root).arg(format!("{inside}/velociraptor"));
        command.args(["--config", &format!("{inside}/config.yaml"), "client"]);
        self.velociraptor.spawn_command(command, &format!("client-{name}"));
        let id = self.velociraptor.wait_for_client();
        self.clients.insert(name.to_owned(), id);
    }

    /// The id of the client with this name.
    pub fn client_id(&self, name: &str) -> String {
        self.clients.get(name).expect("a client of this name").clone()
    }

    /// What the client was asked to do since its enrolment.
    pub fn flows(&self, client: &str) -> Flows {
        let query = format!("SELECT total_uploaded_bytes, total_collected_rows FROM flows(client_id='{client}')");
        let flows = self.velociraptor.query(&query);
        let sum = |column: &str| flows.iter().filter_map(|flow: &Value| flow[column].as_u64()).sum();
        Flows { count: flows.len() as u64, rows: sum("total_collected_rows"), uploaded: sum("total_uploaded_bytes") }
    }

    /// `api_client.yaml` of a user that may read and collect.
    pub fn api_config(&self) -> PathBuf {
        self.velociraptor.api_config()
    }
}
