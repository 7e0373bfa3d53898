//! A server whose API port cannot be reached is served through its GUI: the same tree, the same bytes, the same clear words.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Start, verb};
use crate::support::process;
use crate::support::skip::skip_if;
use crate::support::tree::Tree;
use crate::support::velociraptor::{self, Velociraptor};
use crate::whole_tree_through_webdav as webdav;

/// A simulated server that runs alone, and the arguments that name its GUI.
struct Server {
    child: Child,
    way: Vec<String>,
    folder: TempDir,
}

impl Server {
    fn start(root: &Path) -> Server {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut child = Command::new(env!("CARGO_BIN_EXE_raptorgate"))
            .args(["simulator", "--fast", "--gui", "127.0.0.1:0", "--root"])
            .args([root.as_os_str(), "--api-config-out".as_ref(), at("api_client.yaml").as_os_str()])
            .args(["--state".as_ref(), at("server").as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line =
            said.into_iter().find(|line| line.contains("--gui-url")).expect("the simulator says how to serve it");
        let way = line.split_whitespace().skip_while(|word| !word.starts_with("--")).map(String::from).collect();
        Server { child, way, folder }
    }

    /// The arguments, one of them with another value.
    fn but(&self, flag: &str, value: &str) -> Vec<String> {
        let at = self.way.iter().position(|argument| argument == flag).unwrap() + 1;
        let mut way = self.way.clone();
        way[at] = value.to_owned();
        way
    }

    /// What `check` says on stderr; it must fail with one line.
    fn refused(&self, way: &[String]) -> String {
        let state = self.folder.path().join("nobody's").display().to_string();
        let mut arguments = vec!["check", "--state", &state];
        arguments.extend(way.iter().map(String::as_str));
        let finished = verb(&arguments, Duration::from_secs(60));
        assert!(!finished.succeeded() && finished.status.is_some(), "{}", finished.text());
        let last = finished.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        eprintln!("{last}");
        last
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn the_tree_that_is_on_disk_is_served_through_the_gui() {
    let tree = Tree::odd();
    let server = Server::start(tree.path());
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::serve_by(&server.way, state.path()));
    let known = gateway.ready().clients.iter().find(|client| client.hostname.starts_with("root-1"));
    let client = known.unwrap_or_else(|| panic!("{:?}", gateway.ready())).clone();
    webdav::assert_tree(&gateway, &client, b"", &tree);
    // The running gateway's own way is found by the other verbs.
    let checked = verb(&["check", "--state", state.path().to_str().unwrap()], Duration::from_secs(60));
    assert!(
        checked.succeeded() && checked.text().contains("https://127.0.0.1"),
        "{}{}",
        checked.text(),
        checked.stderr
    );
}

#[test]
fn every_fault_of_the_way_is_one_line_that_says_what_to_do() {
    let root = TempDir::new().unwrap();
    let server = Server::start(root.path());
    let password = server.folder.path().join("password");
    fs::write(&password, "wrong\n").unwrap();
    let wrong = server.but("--gui-password-file", password.to_str().unwrap());
    assert!(server.refused(&wrong).contains("does not accept the password of the user raptorgate"));
    assert!(server.refused(&server.way[..server.way.len() - 2]).contains("--gui-ca FILE"));
    assert!(server.refused(&server.way[..4]).contains("RAPTORGATE_GUI_PASSWORD"));
    assert!(server.refused(&server.way[..2]).contains("--gui-user"));
    let elsewhere = format!("{}velo/", server.way[1]);
    assert!(server.refused(&server.but("--gui-url", &elsewhere)).contains("GUI.base_path"));
    assert!(server.refused(&server.but("--gui-url", "https://127.0.0.1:9/")).contains("nothing listens"));
    let absent = server.folder.path().join("absent");
    assert!(server.refused(&server.but("--gui-ca", absent.to_str().unwrap())).contains("absent"));
}

#[test]
fn the_password_may_be_a_variable_and_the_rest_a_file() {
    let root = TempDir::new().unwrap();
    let server = Server::start(root.path());
    let value = |flag: &str| server.way[server.way.iter().position(|argument| argument == flag).unwrap() + 1].clone();
    let file = server.folder.path().join("raptorgate.yaml");
    let yaml = format!("gui_url: {}\ngui_user: raptorgate\ngui_ca: {}\n", value("--gui-url"), value("--gui-ca"));
    fs::write(&file, yaml + "nfs: 127.0.0.1:0\nwebdav: 127.0.0.1:0\nportmap: 'off'\n").unwrap();
    let password = fs::read_to_string(value("--gui-password-file")).unwrap();
    let serve = |password: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raptorgate"));
        command.args(["serve", "--config"]).arg(&file).arg("--state").arg(server.folder.path().join("gateway"));
        command.env("RAPTORGATE_GUI_PASSWORD", password);
        command
    };
    let refused = process::run(&mut serve("wrong"), Duration::from_secs(60));
    assert!(!refused.succeeded() && refused.stderr.contains("password of the user raptorgate"), "{}", refused.stderr);
    let mut child = serve(password.trim()).stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let serves = said.into_iter().any(|line| line.starts_with("NFS on"));
    process::signal("TERM", child.id());
    let ended = child.wait().unwrap();
    assert!(serves && ended.success(), "{ended}");
}

#[test]
fn a_real_server_is_served_through_its_gui() {
    skip_if!(velociraptor::obstacle());
    let tree = Tree::odd();
    let velociraptor = Velociraptor::start();
    let state = TempDir::new().unwrap();
    let gateway = Gateway::start(Start::serve_by(&velociraptor.gui_arguments(), state.path()));
    let known = gateway.ready().clients.iter().find(|client| client.client_id == velociraptor.client_id);
    let client = known.unwrap_or_else(|| panic!("{:?}", gateway.ready())).clone();
    webdav::assert_tree(&gateway, &client, tree.path().to_str().unwrap().as_bytes(), &tree);
}
