//! The real program, started and ended as a user would.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

use super::control::Control;
use super::http::{Http, encode};
use super::network::{Namespace, free_port};
use super::process::{self, Finished};

/// How long the program may take until everything listens. Far more than it needs: machines are busy.
const START: Duration = Duration::from_secs(60);

/// The line that `--json` prints when everything listens.
#[derive(Debug, Deserialize)]
pub struct Ready {
    /// Address of the NFS service.
    pub nfs: String,
    /// URL of the WebDAV service.
    pub webdav: String,
    /// The endpoints.
    pub clients: Vec<Client>,
    /// User and password of the WebDAV service, unless it has none.
    pub user: Option<String>,
    /// See `user`.
    pub password: Option<String>,
}

/// An endpoint.
#[derive(Debug, Deserialize, Clone)]
pub struct Client {
    /// `C.…`
    pub client_id: String,
    /// Host name.
    pub hostname: String,
    /// The directory of this machine that is its file system.
    pub root: Option<PathBuf>,
}

/// A running gateway. Ended with the value; its log is printed when the test fails.
pub struct Gateway {
    child: Option<Child>,
    start: Start,
    ready: Ready,
    log: Log,
    // Last: removed after the program has ended.
    _folder: Option<TempDir>,
}

/// How a gateway is started, and started again.
#[derive(Clone)]
pub struct Start {
    verb: &'static str,
    arguments: Vec<OsString>,
    namespace: Option<String>,
    variables: Vec<(&'static str, OsString)>,
    state: PathBuf,
    /// Port of the NFS service.
    pub nfs_port: u16,
}

impl Start {
    /// A demo on free ports of the loopback, with these directories as further endpoints.
    pub fn demo(roots: &[&Path], state: &Path) -> Start {
        Start::on("demo", "127.0.0.1", free_port(), free_port(), state).roots(roots)
    }

    /// A demo that owns a whole namespace: NFS on 2049, and what belongs to it on 111, for both families where this machine has both.
    pub fn demo_inside(namespace: &Namespace, roots: &[&Path], state: &Path) -> Start {
        let any = if Path::new("/proc/net/if_inet6").exists() { "[::]" } else { "0.0.0.0" };
        let mut start = Start::on("demo", any, 2049, 8080, state).roots(roots).with(["--insecure-no-auth"]);
        start.namespace = Some(namespace.name.clone());
        start
    }

    /// `serve` on free ports of the loopback.
    pub fn serve(api_config: &Path, state: &Path) -> Start {
        Start::serve_by(&[OsStr::new("--api-config"), api_config.as_os_str()], state)
    }

    /// The same, with the arguments that name the server.
    pub fn serve_by<S: AsRef<OsStr>>(way: &[S], state: &Path) -> Start {
        let mut start = Start::on("serve", "127.0.0.1", free_port(), free_port(), state);
        start.arguments.extend(way.iter().map(|argument| argument.as_ref().to_owned()));
        start
    }

    fn on(verb: &'static str, address: &str, nfs_port: u16, webdav_port: u16, state: &Path) -> Start {
        let mut arguments: Vec<OsString> = vec!["--nfs".into(), format!("{address}:{nfs_port}").into()];
        arguments.extend(["--webdav".into(), format!("{address}:{webdav_port}").into()]);
        arguments.extend(["--state".into(), state.as_os_str().to_owned(), "--json".into()]);
        Start { verb, arguments, namespace: None, variables: Vec::new(), state: state.to_owned(), nfs_port }
    }

    fn roots(mut self, roots: &[&Path]) -> Start {
        for root in roots {
            self.arguments.extend(["--root".into(), root.as_os_str().to_owned()]);
        }
        self
    }

    /// With these arguments, too.
    pub fn with<const N: usize>(mut self, arguments: [&str; N]) -> Start {
        self.arguments.extend(arguments.map(OsString::from));
        self
    }

    /// With this environment variable.
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Start {
        self.variables.push((name, value.into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = program(self.namespace.as_deref());
        command.arg(self.verb).args(&self.arguments).envs(self.variables.iter().cloned());
        command
    }
}

/// The program, to be run in a namespace or not.
fn program(namespace: Option<&str>) -> Command {
    let program = env!("CARGO_BIN_EXE_raptorgate");
    match namespace {
        None => Command::new(program),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, program]);
            command
        }
    }
}

/// Runs a verb of the program that ends by itself.
pub fn verb(arguments: &[&str], limit: Duration) -> Finished {
    process::run(program(None).args(arguments), limit)
}

impl Gateway {
    /// A demo in a state folder of its own.
    pub fn demo(roots: &[&Path]) -> Gateway {
        let folder = TempDir::new().unwrap();
        let start = Start::demo(roots, folder.path());
        let mut gateway = Gateway::start(start);
        gateway._folder = Some(folder);
        gateway
    }

    /// A demo that owns a namespace, in a state folder of its own.
    pub fn demo_inside(namespace: &Namespace, roots: &[&Path]) -> Gateway {
        let folder = TempDir::new().unwrap();
        let mut gateway = Gateway::start(Start::demo_inside(namespace, roots, folder.path()));
        gateway._folder = Some(folder);
        gateway
    }

    /// Starts, and waits until everything listens.
    #[track_caller]
    pub fn start(start: Start) -> Gateway {
        let log = Log::default();
        let (child, ready) = launch(&start, &log);
        Gateway { child: Some(child), start, ready, log, _folder: None }
    }

    /// What it said when everything listened.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Its state folder.
    pub fn state(&self) -> &Path {
        &self.start.state
    }

    /// Port of the NFS service.
    pub fn nfs_port(&self) -> u16 {
        self.start.nfs_port
    }

    /// The endpoint whose file system is this directory.
    #[track_caller]
    pub fn endpoint(&self, root: &Path) -> Client {
        let found = self.ready.clients.iter().find(|client| client.root.as_deref() == Some(root));
        found.unwrap_or_else(|| panic!("no endpoint for {}: {:?}", root.display(), self.ready.clients)).clone()
    }

    /// Its WebDAV service, as the user that it printed.
    pub fn http(&self) -> Http {
        let credentials = self.ready.user.as_deref().zip(self.ready.password.as_deref());
        Http::new(&self.ready.webdav, credentials)
    }

    /// The switches of its simulated deployment.
    pub fn control(&self) -> Control {
        Control::of(&self.start.state)
    }

    /// Whether it believes that an endpoint is there.
    #[track_caller]
    pub fn believes_online(&self, client: &Client) -> bool {
        let told = self.http().get("/-/api/v1/clients");
        let endpoints: serde_json::Value =
            serde_json::from_slice(&told.body).unwrap_or_else(|_| panic!("{}", told.text()));
        let endpoints = endpoints.as_array().expect("a list").iter();
        let mut known = endpoints.filter(|endpoint| endpoint.to_string().contains(&client.client_id));
        known.next().and_then(|endpoint| endpoint["online"].as_bool()).unwrap_or_else(|| panic!("{}", told.text()))
    }

    /// Takes an endpoint off the network, and waits until the gateway knows: it learns by the silence of 90 s (SEMANTICS 8.2).
    #[track_caller]
    pub fn lose(&self, client: &Client) {
        self.control().take_offline(&client.client_id);
        let started = Instant::now();
        while self.believes_online(client) {
            assert!(started.elapsed() < Duration::from_secs(180), "{} is away: not noticed", client.client_id);
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Runs a verb that talks to it.
    pub fn verb(&self, verb: &str, arguments: &[&str]) -> Finished {
        let mut command = program(self.start.namespace.as_deref());
        command.arg(verb).args(arguments).arg("--state").arg(&self.start.state);
        process::run(&mut command, Duration::from_secs(60))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Ends it as a service manager does. It must end well, and soon.
    #[track_caller]
    pub fn stop(&mut self) {
        process::signal("TERM", self.pid());
        let status = self.wait(Duration::from_secs(20));
        assert!(status.success(), "after SIGTERM: {status}\n{}", self.log());
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        process::signal("KILL", self.pid());
        self.wait(Duration::from_secs(20));
    }

    /// Starts it again as it was started before: the same ports, the same state.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        let (child, ready) = launch(&self.start, &self.log);
        (self.child, self.ready) = (Some(child), ready);
    }

    #[track_caller]
    fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("running");
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > limit {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it did not end within {limit:?}\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _killed = child.kill();
            let _status = child.wait();
        }
        if thread::panicking() {
            eprintln!("--- the last words of the gateway\n{}---", self.log.text());
        }
    }
}

#[track_caller]
fn launch(start: &Start, log: &Log) -> (Child, Ready) {
    let mut command = start.command();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("RUST_BACKTRACE", "1")
        // A flow for every file: the simulated server's own log would push the gateway's out.
        .env("RAPTORGATE_LOG", "info,raptorgate_simulator=warn")
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    log.keep(child.stderr.take().unwrap());
    let lines = lines(child.stdout.take().unwrap());
    let deadline = Instant::now() + START;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Ok(ready) = serde_json::from_str::<Ready>(&line) {
                    assert!(ready.nfs.ends_with(&format!(":{}", start.nfs_port)), "NFS listens elsewhere: {line}");
                    return (child, ready);
                }
                log.add(line);
            }
            Err(error) => {
                let _killed = child.kill();
                let status = child.wait().unwrap();
                panic!("{command:?} did not get ready ({error}, {status}):\n{}", log.text());
            }
        }
    }
}

/// The last lines that the program wrote to stderr.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn keep(&self, from: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                log.add(line);
            }
        });
    }

    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lines.len() == 400 {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // Read on when nobody listens any more: the program must not stop at a full pipe.
            let _unheard = to.send(line);
        }
    });
    lines
}

/// The encoded path of something on an endpoint, as WebDAV has it.
pub fn url_path(client: &Client, path: &[u8]) -> String {
    let mut url = format!("/{}/auto", client.client_id);
    for component in path.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
        url.push('/');
        url.push_str(&encode(component));
    }
    url
}
