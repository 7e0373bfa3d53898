//! Other programs: run with a limit of time, their output kept.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a program did.
pub struct Finished {
    /// How it ended; `None`: it was ended because its time was over.
    pub status: Option<ExitStatus>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Finished {
    /// Whether it ended by itself, with status 0.
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// What it printed, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same, if it succeeded; fails the test otherwise.
    #[track_caller]
    pub fn expect(self, what: &str) -> Finished {
        assert!(self.succeeded(), "{what}: {:?} after {:?}\n{}\n{}", self.status, self.took, self.text(), self.stderr);
        self
    }
}

/// Runs a program to its end, or to the end of `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if started.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let took = started.elapsed();
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
    Finished { status, stdout: stdout.join().unwrap(), stderr, took }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

/// Whether a program can be found, where users' and administrators' programs are.
pub fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_owned()))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Why a test that needs these programs cannot run here.
pub fn missing(programs: &[&str]) -> Option<String> {
    let absent: Vec<&str> = programs.iter().copied().filter(|program| !is_installed(program)).collect();
    (!absent.is_empty()).then(|| format!("not installed here: {}", absent.join(", ")))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Sends a signal, by its name, to a process of ours.
pub fn signal(name: &str, pid: u32) {
    let status =
        Command::new("sh").args([OsStr::new("-c"), OsStr::new(&format!("kill -{name} {pid}"))]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}: {status}");
}
