//! A real Velociraptor server and a real client of it on this machine, in a folder and on ports of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::network::free_port;
use super::process::{self, Finished};

/// The program: `VELOCIRAPTOR_BIN`, or `velociraptor` on the PATH.
pub fn program() -> Option<PathBuf> {
    std::env::var_os("VELOCIRAPTOR_BIN").map(PathBuf::from).or_else(|| process::find("velociraptor"))
}

/// Why there is no real Velociraptor here.
pub fn obstacle() -> Option<String> {
    program().is_none().then(|| "no velociraptor on the PATH, and VELOCIRAPTOR_BIN is not set".to_owned())
}

/// Of the user `gateway` in the GUI.
const PASSWORD: &str = "pass word: ü";

/// A server and one client, which is this machine.
pub struct Velociraptor {
    program: PathBuf,
    processes: Vec<Child>,
    gui_port: u16,
    /// The first client's id.
    pub client_id: String,
    enrolled: Vec<String>,
    // Last: removed after the processes have ended.
    folder: TempDir,
}

impl Velociraptor {
    /// Starts both, and waits until the client is enrolled and interrogated.
    pub fn start() -> Velociraptor {
        let mut velociraptor = Velociraptor::server(2);
        velociraptor.spawn("client.config.yaml", "client");
        velociraptor.client_id = velociraptor.wait_for_client();
        velociraptor
    }

    /// Starts a server whose clients poll every `max_poll` seconds at least; a default client has 60.
    pub fn server(max_poll: u32) -> Velociraptor {
        let program = program().expect("asked for an obstacle before");
        let folder = tempfile::Builder::new().prefix("raptorgate-velociraptor-").tempdir().unwrap();
        let mut velociraptor = Velociraptor {
            program,
            processes: Vec::new(),
            gui_port: free_port(),
            client_id: String::new(),
            enrolled: Vec::new(),
            folder,
        };
        velociraptor.configure(max_poll);
        velociraptor.spawn("server.config.yaml", "frontend");
        velociraptor
    }

    /// `api_client.yaml` of a user that may read and collect.
    pub fn api_config(&self) -> PathBuf {
        self.path("gateway.yaml")
    }

    /// Ends the client.
    pub fn stop_client(&mut self) {
        let mut client = self.processes.pop().expect("it runs");
        process::signal("TERM", client.id());
        let _status = client.wait();
    }

    /// Starts it again.
    pub fn start_client(&mut self) {
        self.spawn("client.config.yaml", "client");
    }

    /// The arguments that name this server by its GUI.
    pub fn gui_arguments(&self) -> Vec<String> {
        let config = fs::read_to_string(self.api_config()).unwrap();
        let ca = config.lines().skip_while(|line| !line.starts_with("ca_certificate"));
        let ca: Vec<&str> = ca.skip(1).take_while(|line| line.starts_with(' ')).map(str::trim).collect();
        fs::write(self.path("ca.pem"), ca.join("\n")).unwrap();
        fs::write(self.path("password"), PASSWORD).unwrap();
        let (password, ca) = (self.text_path("password"), self.text_path("ca.pem"));
        let url = format!("https://localhost:{}/app/index.html#/dashboard", self.gui_port);
        ["--gui-url", &url, "--gui-user", "gateway", "--gui-password-file", &password, "--gui-ca", &ca]
            .map(String::from)
            .to_vec()
    }

    /// Rows of a query, as the server's administrator.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let rows = self.run(&["--api_config", &self.text_path("admin.yaml"), "query", query, "--format", "jsonl"]);
        rows.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn configure(&self, max_poll: u32) {
        for folder in ["datastore", "logs", "client"] {
            fs::create_dir(self.path(folder)).unwrap();
        }
        let (frontend, api, monitoring) = (free_port(), free_port(), free_port());
        let gui = self.gui_port;
        let merge = json!({
            "Client": {
                "server_urls": [format!("https://localhost:{frontend}/")],
                "use_self_signed_ssl": true,
                "max_poll": max_poll,
                "writeback_linux": self.text_path("client/writeback.yaml"),
                "local_buffer": { "filename_linux": self.text_path("client/buffer.bin") },
            },
            "API": { "bind_port": api },
            "GUI": { "bind_port": gui, "public_url": format!("https://localhost:{gui}/app/index.html") },
            "Frontend": { "bind_address": "127.0.0.1", "bind_port": frontend },
            "Monitoring": { "bind_port": monitoring },
            "Datastore": { "location": self.text_path("datastore"), "filestore_directory": self.text_path("datastore") },
            "Logging": { "output_directory": self.text_path("logs"), "separate_logs_per_component": true },
            "defaults": { "acl_lru_timeout_sec": 5 },
        });
        fs::write(self.path("merge.json"), merge.to_string()).unwrap();
        let server = self.run(&["config", "generate", "--merge_file", &self.text_path("merge.json")]).stdout;
        fs::write(self.path("server.config.yaml"), server).unwrap();
        let of_server = ["--config", &self.text_path("server.config.yaml")];
        let client = self.run(&[&of_server[..], &["config", "client"]].concat()).stdout;
        fs::write(self.path("client.config.yaml"), client).unwrap();
        let of_gui = ["user", "add", "gateway", PASSWORD, "--role", "investigator,api"];
        self.run(&[&of_server[..], &of_gui].concat());
        for (name, role) in [("gateway", "investigator,api"), ("admin", "administrator,api"), ("nobody", "")] {
            let file = self.text_path(&format!("{name}.yaml"));
            let role = if role.is_empty() { &[][..] } else { &["--role", role][..] };
            self.run(&[&of_server[..], &["config", "api_client", "--name", name], role, &[&file]].concat());
        }
    }

    fn spawn(&mut self, config: &str, verb: &str) {
        let mut command = Command::new(&self.program);
        command.args(["--config", &self.text_path(config), verb]);
        self.spawn_command(command, verb);
    }

    /// Starts a process of the deployment, with a log of this name; it ends with it.
    pub fn spawn_command(&mut self, mut command: Command, log: &str) {
        let log = File::create(self.path(&format!("{log}.log"))).unwrap();
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.processes.push(child);
    }

    /// Waits for a client that was not there before.
    pub fn wait_for_client(&mut self) -> String {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(180) {
            let arguments = [
                "--api_config",
                &self.text_path("admin.yaml"),
                "query",
                "SELECT client_id, os_info.hostname AS hostname FROM clients()",
                "--format",
                "jsonl",
            ];
            let answer = process::run(Command::new(&self.program).args(arguments), Duration::from_secs(30));
            for line in answer.text().lines() {
                let row: Value = serde_json::from_str(line).unwrap_or_default();
                let id = row["client_id"].as_str().unwrap_or_default();
                let interrogated = row["hostname"].as_str().is_some_and(|name| !name.is_empty());
                if interrogated && !self.enrolled.iter().any(|known| known == id) {
                    self.enrolled.push(id.to_owned());
                    return id.to_owned();
                }
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let log = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        panic!("no client enrolled:\n{}\n{}", log("frontend.log"), log("client.log"));
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(&self.program);
        process::run(command.args(arguments).current_dir(self.folder.path()), Duration::from_secs(60))
            .expect(&format!("velociraptor {arguments:?}"))
    }

    /// A file of the deployment.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    /// The same as text.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Velociraptor {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().rev() {
            if child.try_wait().is_ok_and(|status| status.is_none()) {
                // The server's parent process passes it on to the child that does the work.
                process::signal("TERM", child.id());
            }
        }
        let started = Instant::now();
        for child in &mut self.processes {
            while child.try_wait().is_ok_and(|status| status.is_none()) {
                if started.elapsed() > Duration::from_secs(15) {
                    let _killed = child.kill();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if std::thread::panicking() {
            let files = fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
            let names = files.filter_map(|file| file.file_name().into_string().ok());
            for name in names.filter(|name| name.ends_with(".log")) {
                let log = fs::read_to_string(self.path(&name)).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(30).collect();
                eprintln!("--- the last lines of {name}, the newest first\n{}", last.join("\n"));
            }
        }
    }
}
