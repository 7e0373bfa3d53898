//! `mount` and `umount`: the right command for what was asked for, a gateway if none runs, and plain words for what is missing.
//!
//! A `mount` that only writes down what it is told stands in for mount(8); `guest/localhost.sh` does it with the real ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::Gateway;
use crate::support::network::free_port;
use crate::support::process::{self, Finished, is_root};
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

/// A folder with a `mount` (which fails with `complaint`, if there is one) and a `mount.nfs`.
fn programs(complaint: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let end = if complaint.is_empty() { String::new() } else { format!("echo '{complaint}' >&2; exit 32\n") };
    let told = folder.path().join("told");
    let mount = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >{}\n{end}", told.display());
    for (name, text) in [("mount", mount.as_str()), ("mount.nfs", "#!/bin/sh\n")] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn verb(programs: &Path, state: &Path, arguments: &[&str]) -> Finished {
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_raptorgate"));
    command
        .args(arguments)
        .arg("--state")
        .arg(state)
        .env("PATH", path)
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", state);
    process::run(&mut command, Duration::from_secs(60))
}

fn told(programs: &TempDir) -> Vec<String> {
    let told = fs::read_to_string(programs.path().join("told")).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}

/// Only root may mount, so that everybody else is told so before.
fn obstacle() -> Option<String> {
    (!is_root()).then(|| "mounting is for root".to_owned())
}

#[test]
fn the_verb_runs_the_command_that_the_gateway_prints() {
    skip_if!(obstacle());
    let tree = Tree::small();
    let folder = TempDir::new().unwrap();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let programs = programs("");
    let place = folder.path().join("a desk");
    let at = place.to_str().unwrap();
    let options = format!("ro,nosuid,nodev,noexec,vers=3,tcp,port={0},mountport={0},nolock", gateway.nfs_port());
    let mount = |arguments: &[&str]| verb(programs.path(), gateway.state(), &[&["mount"], arguments].concat());
    for (wanted, export) in
        [(client.client_id.clone(), ""), (format!("{}/auto/documents", client.hostname), "/auto/documents")]
    {
        let said = mount(&[&wanted, at]).expect("mount").text();
        let source = format!("127.0.0.1:/{}{export}", client.client_id);
        assert_eq!(told(&programs), ["-t", "nfs", "-o", &options, &source, at]);
        assert!(place.is_dir() && said.contains(&format!("{source} is mounted at {at}")), "{said}");
    }
    mount(&[&client.client_id, at, "-o", "soft"]).expect("mount");
    assert_eq!(told(&programs)[3], format!("{options},soft"));
    fs::remove_file(programs.path().join("told")).unwrap();

    let printed = mount(&["--print", &client.hostname, at]).expect("mount --print").text();
    assert!(
        printed.contains(&format!("sudo mount -t nfs -o {options} 127.0.0.1:/{} '{at}'", client.client_id)),
        "{printed}"
    );
    let refused = |arguments: &[&str], part: &str| {
        let said = mount(arguments);
        assert!(!said.succeeded() && said.stderr.contains(part), "{part} is not in: {}", said.stderr);
    };
    refused(&["C.nowhere", at], "raptorgate clients");
    fs::write(place.join("something"), "").unwrap();
    refused(&[&client.client_id, at], "not empty");
    refused(&[&client.client_id, "/proc"], "mounted at /proc already");
    assert_eq!(told(&programs), [""; 0], "nothing of this was tried");
}

#[test]
fn complaints_of_mount_come_with_what_to_do() {
    skip_if!(obstacle());
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let folder = TempDir::new().unwrap();
    let at = folder.path().to_str().unwrap();
    for (complaint, part) in [
        ("mount: unknown filesystem type: unknown filesystem type nfs.", "no NFS client"),
        ("mount.nfs: access denied by server while mounting", "log says why"),
        ("mount.nfs: something new", "the command was `sudo mkdir"),
    ] {
        let programs = programs(complaint);
        let said = verb(programs.path(), gateway.state(), &["mount", &gateway.endpoint(tree.path()).client_id, at]);
        assert!(!said.succeeded() && said.stderr.contains(complaint) && said.stderr.contains(part), "{}", said.stderr);
    }
}

#[test]
fn a_gateway_is_started_where_none_runs_and_there_is_a_configuration() {
    skip_if!(obstacle());
    let tree = Tree::small();
    // Its simulated server is the one of the gateway that the verb starts.
    let server = Gateway::demo(&[tree.path()]);
    let client = server.endpoint(tree.path());
    let (folder, state, programs) = (TempDir::new().unwrap(), TempDir::new().unwrap(), programs(""));
    let place = folder.path().join("mnt");
    let mount = |arguments: &[&str]| {
        let at = [&client.client_id, place.to_str().unwrap()];
        verb(programs.path(), state.path(), &[&["mount"], &at[..], arguments].concat())
    };
    let said = mount(&[]);
    assert!(!said.succeeded() && said.stderr.contains("--config FILE"), "{}", said.stderr);

    let file = folder.path().join("gateway.yaml");
    let configuration = |nfs: u16| {
        let api_config = server.state().join("simulator/api_client.yaml");
        let (api_config, webdav) = (api_config.display(), free_port());
        fs::write(&file, format!("api_config: {api_config}\nnfs: 127.0.0.1:{nfs}\nwebdav: 127.0.0.1:{webdav}\n"))
            .unwrap();
        ["--config".to_owned(), file.display().to_string()]
    };
    let [flag, name] = configuration(server.nfs_port());
    let said = mount(&[&flag, &name]);
    assert!(!said.succeeded() && said.stderr.contains("another program listens there"), "{}", said.stderr);

    let port = free_port();
    let [flag, name] = configuration(port);
    let said = mount(&[&flag, &name]).expect("mount").text();
    let process: u32 =
        said.split("process ").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok()).expect("its id");
    let running = Running(process);
    assert!(said.contains("is mounted at"), "{said}");
    assert!(told(&programs)[3].contains(&format!("port={port}")), "{:?}", told(&programs));
    let again = mount(&[&flag, &name]).expect("mount").text();
    assert!(!again.contains("process"), "it runs already: {again}");
    drop(running);
    assert!(
        fs::read_to_string(state.path().join("serve.log")).unwrap().contains("connected to the Velociraptor server")
    );
}

#[test]
fn umount_ends_nothing_that_is_no_gateways() {
    let state = TempDir::new().unwrap();
    for (what, part) in [
        ("/proc", "no gateway's"),
        ("C.0000000000000000", "nothing of"),
        ("desk", "no mount"),
        ("/no/such", "nothing is mounted at"),
    ] {
        let said = verb(state.path(), state.path(), &["umount", what]);
        assert!(!said.succeeded() && said.stderr.contains(part), "{part} is not in: {}", said.stderr);
    }
}

/// A process that was started in the background; ended with the value.
struct Running(u32);

impl Drop for Running {
    fn drop(&mut self) {
        process::signal("TERM", self.0);
        let there = std::path::PathBuf::from(format!("/proc/{}/exe", self.0));
        for _ in 0..2000 {
            if fs::read_link(&there).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
