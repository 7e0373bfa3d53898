//! A configuration that cannot work: one clear line that says what is wrong and what to do.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::gateway::verb;
use crate::support::network::free_port;
use crate::support::process::Finished;

/// A simulated server that runs alone, and its `api_client.yaml`.
struct Server {
    child: Child,
    folder: TempDir,
    config: String,
}

impl Server {
    fn start() -> Server {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("api_client.yaml");
        let child = Command::new(env!("CARGO_BIN_EXE_raptorgate"))
            .arg("simulator")
            .arg("--api-config-out")
            .arg(&file)
            .arg("--state")
            .arg(folder.path().join("server"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let mut server = Server { child, folder, config: String::new() };
        while started.elapsed() < Duration::from_secs(60) {
            server.config = fs::read_to_string(&file).unwrap_or_default();
            if server.config.contains("api_connection_string") {
                return server;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("`raptorgate simulator` wrote no {}", file.display());
    }

    /// `check` and `serve` with another configuration: both must fail soon, with the same short words.
    fn refuse(&self, name: &str, config: &str) -> String {
        let file = self.folder.path().join(name);
        fs::write(&file, config).unwrap();
        let checked = self.run("check", &file);
        let served = self.run("serve", &file);
        for (verb, finished) in [("check", &checked), ("serve", &served)] {
            assert!(finished.status.is_some(), "{name}: {verb} does not end");
            assert!(!finished.succeeded(), "{name}: {verb} succeeded: {}", finished.text());
        }
        let last = served.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        assert!(!last.contains("panicked"), "{name}: {}", served.stderr);
        eprintln!("{name}: {last}");
        checked.text() + &checked.stderr + &last
    }

    fn run(&self, name: &str, file: &Path) -> Finished {
        let state = TempDir::new().unwrap();
        let (nfs, webdav) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let mut arguments =
            vec![name, "--api-config", file.to_str().unwrap(), "--state", state.path().to_str().unwrap()];
        if name == "serve" {
            arguments.extend(["--nfs", &nfs, "--webdav", &webdav]);
        }
        verb(&arguments, Duration::from_secs(40))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The YAML text with the block of `key` replaced.
fn with(config: &str, key: &str, value: &str) -> String {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in config.lines() {
        if line.starts_with(|first: char| !first.is_whitespace()) {
            inside = line.starts_with(&format!("{key}:"));
            if inside {
                lines.push(value.to_owned());
            }
        }
        if !inside {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

#[track_caller]
fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.to_lowercase().contains(&word.to_lowercase()), "no {word:?} in: {said}");
    }
}

#[test]
fn every_broken_configuration_gets_one_line_that_says_what_to_do() {
    let server = Server::start();
    let good = &server.config;

    let encrypted = "client_private_key: |\n  -----BEGIN RSA PRIVATE KEY-----\n  Proc-Type: 4,ENCRYPTED\n  DEK-Info: AES-256-CBC,00\n\n  AAAA\n  -----END RSA PRIVATE KEY-----";
    assert_says(
        &server.refuse("encrypted.yaml", &with(good, "client_private_key", encrypted)),
        &["client_private_key", "encrypted", "without --password"],
    );

    assert_says(&server.refuse("missing.yaml", &with(good, "client_cert", "")), &["client_cert", "missing"]);
    assert_says(&server.refuse("empty.yaml", ""), &["api_client"]);
    assert_says(&server.refuse("binary.yaml", "\u{0}\u{1}not yaml: ["), &["api_client"]);

    let nobody = format!("127.0.0.1:{}", free_port());
    let unreachable = with(good, "api_connection_string", &format!("api_connection_string: {nobody}"));
    assert_says(&server.refuse("unreachable.yaml", &unreachable), &[&nobody, "nothing listens"]);

    // Another deployment's CA: a certificate, but not the one that signed the server's.
    let other = Server::start();
    let foreign = other.config.split_once("ca_certificate:").map(|(_, rest)| rest).unwrap();
    let mut block = format!("ca_certificate:{}", foreign.lines().next().unwrap());
    for line in foreign.lines().skip(1).take_while(|line| line.starts_with(char::is_whitespace)) {
        block.push('\n');
        block.push_str(line);
    }
    assert_says(&server.refuse("wrong-ca.yaml", &with(good, "ca_certificate", &block)), &["ca_certificate"]);
}

#[test]
fn a_file_that_is_not_there_says_how_to_make_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("absent.yaml");
    let finished = verb(&["check", "--api-config", file.to_str().unwrap()], Duration::from_secs(20));
    assert!(!finished.succeeded());
    assert_says(&(finished.text() + &finished.stderr), &["absent.yaml", "config", "api_client"]);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("raptorgate.yaml");
    fs::write(&file, "max_agee: 5m\n").unwrap();
    let finished = verb(
        &["demo", "--config", file.to_str().unwrap(), "--state", folder.path().to_str().unwrap()],
        Duration::from_secs(20),
    );
    assert!(!finished.succeeded() && finished.status.is_some(), "{}", finished.text());
    assert_says(&finished.stderr, &["max_agee", "max_age"]);
}

#[test]
fn an_address_for_the_whole_network_needs_a_word_more() {
    let folder = TempDir::new().unwrap();
    let address = format!("0.0.0.0:{}", free_port());
    let arguments = ["demo", "--webdav", &address, "--nfs", "127.0.0.1:0", "--state", folder.path().to_str().unwrap()];
    let finished = verb(&arguments, Duration::from_secs(20));
    assert!(!finished.succeeded() && finished.status.is_some(), "{}", finished.text());
    assert_says(&finished.stderr, &["--insecure-no-auth"]);
}
