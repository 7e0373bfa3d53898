//! A real Velociraptor server and client in a directory of their own, on free ports (docs/velociraptor-api.md §16).

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use raptorgate_velociraptor::{ApiConfig, GuiConfig, GuiLogin};

/// The running processes; they end with it.
pub struct Rig {
    directory: tempfile::TempDir,
    binary: PathBuf,
    gui: u16,
    processes: Vec<Child>,
}

/// What all users of the GUI have.
pub const PASSWORD: &str = "pass word: ü";

/// The binary: `VELOCIRAPTOR_BIN`, or `velociraptor` in the PATH.
pub fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("VELOCIRAPTOR_BIN") {
        return Some(PathBuf::from(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join("velociraptor")).find(|file| file.is_file())
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Rig {
    /// Starts the server. Its users: `gateway` (investigator, api), `admin` (administrator, api), `plain` (READ_RESULTS and
    /// COLLECT_CLIENT only), `reader` (READ_RESULTS), `nobody` (a certificate without a user), `powerless` (a password, no right).
    pub fn start(binary: PathBuf) -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let [frontend, api, gui, monitoring] = free_ports();
        let root = directory.path().to_owned();
        for name in ["datastore", "logs", "client"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        let at = |name: &str| root.join(name).display().to_string();
        let merge = serde_json::json!({
            "Client": {
                "server_urls": [format!("https://localhost:{frontend}/")], "use_self_signed_ssl": true, "max_poll": 2,
                "writeback_linux": at("client/writeback.yaml"), "local_buffer": {"filename_linux": at("client/buffer.bin")},
            },
            "API": {"bind_port": api},
            "GUI": {"bind_port": gui, "public_url": format!("https://localhost:{gui}/app/index.html")},
            "Frontend": {"bind_address": "127.0.0.1", "bind_port": frontend},
            "Monitoring": {"bind_port": monitoring},
            "Datastore": {"location": at("datastore"), "filestore_directory": at("datastore")},
            "Logging": {"output_directory": at("logs"), "separate_logs_per_component": true},
            "defaults": {"acl_lru_timeout_sec": 5},
        });
        std::fs::write(root.join("merge.json"), merge.to_string()).unwrap();
        let mut rig = Rig { directory, binary, gui, processes: Vec::new() };
        let server = rig.tool(&["config", "generate", "--merge_file", &at("merge.json")]);
        std::fs::write(rig.file("server.config.yaml"), server).unwrap();
        let client = rig.server_tool(&["config", "client"]);
        std::fs::write(rig.file("client.config.yaml"), client).unwrap();
        rig.server_tool(&["user", "add", "root", "secret", "--role", "administrator"]);
        for (name, role) in [("gateway", "investigator,api"), ("admin", "administrator,api"), ("reader", "reader")] {
            rig.server_tool(&["user", "add", name, PASSWORD, "--role", role]);
            rig.server_tool(&["config", "api_client", "--name", name, "--role", role, &at(&format!("{name}.yaml"))]);
        }
        for name in ["plain", "powerless"] {
            rig.server_tool(&["user", "add", name, PASSWORD, "--role", "reader"]);
        }
        rig.server_tool(&["acl", "grant", "powerless", "{}"]);
        rig.server_tool(&["config", "api_client", "--name", "plain", "--role", "reader", &at("plain.yaml")]);
        rig.server_tool(&["acl", "grant", "plain", r#"{"read_results":true,"collect_client":true}"#]);
        rig.server_tool(&["config", "api_client", "--name", "nobody", &at("nobody.yaml")]);
        rig.spawn(&["--config", &at("server.config.yaml"), "frontend"]);
        rig
    }

    /// Starts the client; it enrols within some ten seconds.
    pub fn start_client(&mut self) {
        let config = self.file("client.config.yaml").display().to_string();
        self.spawn(&["--config", &config, "client"]);
    }

    /// Makes an organisation, in which the user `gateway` may collect, and starts a client of it.
    pub fn start_client_of_org(&mut self, org: &str) {
        let admin = self.file("admin.yaml").display().to_string();
        let query = |text: String| self.tool(&["--api_config", &admin, "query", &text, "--format", "jsonl"]);
        query(format!("SELECT org_create(name='Second', org_id='{org}') FROM scope()"));
        query(format!("SELECT user_grant(user='gateway', roles=['investigator', 'api'], orgs=['{org}']) FROM scope()"));
        let made = query(format!("SELECT _client_config AS Config FROM orgs() WHERE OrgId = '{org}'"));
        let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
        std::fs::create_dir(self.file("second")).unwrap();
        // A state of its own beside that of the first client.
        let config = made["Config"].as_str().unwrap().replace("/client/", "/second/");
        std::fs::write(self.file("second.config.yaml"), config).unwrap();
        let config = self.file("second.config.yaml").display().to_string();
        self.spawn(&["--config", &config, "client"]);
    }

    /// The API client file of a user.
    pub fn api_config(&self, user: &str) -> ApiConfig {
        ApiConfig::load(&self.file(&format!("{user}.yaml"))).unwrap()
    }

    /// The GUI for a user, with the deployment's own CA.
    pub fn gui_config(&self, user: &str, password: &str) -> GuiConfig {
        let ca = self.root().join("ca.pem");
        std::fs::write(&ca, self.api_config("gateway").ca_certificate).unwrap();
        let login = GuiLogin { user: Some(user.to_owned()), ..GuiLogin::default() };
        GuiConfig::load(&self.gui_url(), &login, Some(password.to_owned()), Some(&ca)).unwrap()
    }

    pub fn gui_url(&self) -> String {
        format!("https://localhost:{}/", self.gui)
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tool(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(&self.binary).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn server_tool(&self, arguments: &[&str]) -> Vec<u8> {
        let config = self.file("server.config.yaml").display().to_string();
        self.tool(&[&["--config", &config], arguments].concat())
    }

    fn spawn(&mut self, arguments: &[&str]) {
        let log = std::fs::File::create(self.file(&format!("{}.log", self.processes.len()))).unwrap();
        let child = Command::new(&self.binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.processes.push(child);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // The server runs a child of its own, which only a polite signal reaches.
        for process in self.processes.iter_mut().rev() {
            let _ = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
            for _ in 0..100 {
                if process.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
