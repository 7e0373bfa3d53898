//! Names that break clients, through every WebDAV client that is here: each file comes back as the bytes that lie on disk, or the client
//! cannot even ask for it (and then it is named in this file).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::Gateway;
use crate::support::http::{decode, encode};
use crate::support::process::{self, Finished, is_root, missing};
use crate::support::skip::{skip, skip_if};
use crate::support::tree::{Tree, odd_names};

const LIMIT: Duration = Duration::from_secs(300);

/// Contents by name.
type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// A folder of odd names, alone at the root of an endpoint, and the way there.
struct Odd {
    tree: Tree,
    _gateway: Gateway,
    /// Of the endpoint's accessor, with a slash at the end.
    url: String,
    user: String,
    password: String,
    folder: TempDir,
}

impl Odd {
    fn new() -> Odd {
        let tree = Tree::empty();
        for (number, name) in odd_names().iter().enumerate() {
            tree.write(Path::new(std::ffi::OsStr::from_bytes(name)), format!("name {number}\n").as_bytes());
        }
        let gateway = Gateway::demo(&[tree.path()]);
        let ready = gateway.ready();
        let url = format!("{}{}/auto/", ready.webdav, gateway.endpoint(tree.path()).client_id);
        let (user, password) = (ready.user.clone().unwrap_or_default(), ready.password.clone().unwrap_or_default());
        Odd { tree, url, user, password, folder: TempDir::new().unwrap(), _gateway: gateway }
    }

    /// What is on disk.
    fn disk(&self) -> Files {
        read(self.tree.path())
    }

    /// A file of the test's own.
    fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder of the test's own.
    fn make(&self, name: &str) -> PathBuf {
        let path = self.own(name);
        fs::create_dir(&path).unwrap();
        path
    }

    fn rclone(&self, arguments: &[&str]) -> Finished {
        let configuration = self.own("rclone.conf");
        if !configuration.exists() {
            fs::write(&configuration, "").unwrap();
            let (user, password) = (self.user.as_str(), self.password.as_str());
            let create = ["config", "create", "odd", "webdav", "url", &self.url, "vendor", "other", "user", user];
            self.rclone(&[&create[..], &["pass", password, "--obscure", "--non-interactive"]].concat())
                .expect("rclone config create");
        }
        process::run(Command::new("rclone").env("RCLONE_CONFIG", configuration).args(arguments), LIMIT)
    }
}

fn read(folder: &Path) -> Files {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().as_bytes().to_vec(), fs::read(file.path()).unwrap())).collect()
}

/// Every file has come as it is; `except` are those that the client has no way to ask for.
#[track_caller]
fn assert_same(disk: &Files, seen: &Files, except: impl Fn(&str) -> bool) {
    let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    for (name, content) in seen {
        assert_eq!(disk.get(name), Some(content), "{:?}", shown(name));
    }
    let lost: Vec<String> = disk.keys().filter(|name| !seen.contains_key(*name)).map(|name| shown(name)).collect();
    let lost: Vec<&String> = lost.iter().filter(|name| !except(name)).collect();
    assert!(lost.is_empty(), "did not come: {lost:?}");
}

/// What a client saved under the number of each name.
fn numbered(folder: &Path) -> Files {
    let names = odd_names().into_iter().enumerate();
    names.map(|(number, name)| (name, fs::read(folder.join(number.to_string())).unwrap())).collect()
}

#[test]
fn rclone_copies_and_mounts_every_name() {
    skip_if!(missing(&["rclone"]));
    let odd = Odd::new();
    let copied = odd.make("copied");
    odd.rclone(&["copy", "odd:", copied.to_str().unwrap(), "--local-encoding", "None"]).expect("rclone copy");
    assert_same(&odd.disk(), &read(&copied), |_| false);

    if !is_root() || !Path::new("/dev/fuse").exists() {
        skip!("rclone mount needs root and /dev/fuse; rclone copy passed");
    }
    skip_if!(missing(&["fusermount"]));
    let mounted = odd.make("mounted");
    odd.rclone(&["mount", "odd:", mounted.to_str().unwrap(), "--read-only", "--daemon"]).expect("rclone mount");
    let seen = std::panic::catch_unwind(|| read(&mounted));
    let ended = process::run(Command::new("fusermount").arg("-u").arg(&mounted), LIMIT);
    assert_same(&odd.disk(), &seen.expect("a mount that can be read"), |_| false);
    ended.expect("fusermount -u");
}

#[test]
fn curl_gets_every_name() {
    skip_if!(missing(&["curl"]));
    let odd = Odd::new();
    let got = odd.make("got");
    let mut list = format!("user = \"{}:{}\"\n", odd.user, odd.password);
    for (number, name) in odd_names().iter().enumerate() {
        list.push_str(&format!("url = \"{}{}\"\noutput = \"{number}\"\n", odd.url, encode(name)));
    }
    let configuration = odd.own("curl.conf");
    fs::write(&configuration, list).unwrap();
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail", "--globoff", "-K"]).arg(&configuration).current_dir(&got);
    process::run(&mut command, LIMIT).expect("curl");
    assert_same(&odd.disk(), &numbered(&got), |_| false);
}

#[test]
fn cadaver_gets_every_name_that_fits_in_its_commands() {
    skip_if!(missing(&["cadaver"]));
    let odd = Odd::new();
    let got = odd.make("got");
    let login = format!("machine 127.0.0.1\nlogin {}\npassword {}\n", odd.user, odd.password);
    fs::write(odd.own(".netrc"), login).unwrap();
    fs::set_permissions(odd.own(".netrc"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // A command is a line.
    let fits = |name: &str| !name.contains('\n');
    let names: Vec<String> = odd_names().into_iter().map(|name| String::from_utf8(name).unwrap()).collect();
    let commands: String = names
        .iter()
        .enumerate()
        .filter(|(_, name)| fits(name))
        .map(|(number, name)| format!("get \"{}\" {number}\n", name.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    fs::write(odd.own("commands"), commands + "quit\n").unwrap();
    let mut command = Command::new("cadaver");
    command.arg("-r").arg(odd.own("commands")).arg(&odd.url).current_dir(&got);
    command.env("HOME", odd.folder.path()).env("LC_ALL", "C.UTF-8");
    process::run(&mut command, LIMIT).expect("cadaver");
    let mut seen = Files::new();
    for (number, name) in names.iter().enumerate() {
        if let Ok(content) = fs::read(got.join(number.to_string())) {
            seen.insert(name.as_bytes().to_vec(), content);
        }
    }
    assert_same(&odd.disk(), &seen, |name| !fits(name));
}

#[test]
fn gio_lists_and_copies_every_name() {
    skip_if!(missing(&["gio", "dbus-run-session"]));
    if !Path::new("/usr/share/gvfs/mounts/dav.mount").exists() {
        skip!("not installed here: gvfs-backends");
    }
    let odd = Odd::new();
    let got = odd.make("got");
    let dav = odd.url.replacen("http://", &format!("dav://{}@", odd.user), 1);
    let copies: String = odd_names()
        .iter()
        .enumerate()
        .map(|(number, name)| format!("gio copy '{dav}{}' '{}/{number}' || exit 1\n", encode(name), got.display()))
        .collect();
    let script = format!(
        "printf '%s\\n' '{}' | gio mount '{dav}' >&2 || exit 1\ngio list -hu '{dav}' || exit 1\n{copies}",
        odd.password
    );
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", &script]);
    command.env("XDG_RUNTIME_DIR", odd.folder.path()).env("HOME", odd.folder.path());
    let listed = process::run(&mut command, LIMIT).expect("gio").text();
    let listed: Vec<Vec<u8>> = listed.lines().filter_map(|uri| Some(decode(uri.rsplit('/').next()?))).collect();
    for name in odd_names() {
        assert!(listed.contains(&name), "not listed: {:?}", String::from_utf8_lossy(&name));
    }
    assert_same(&odd.disk(), &numbered(&got), |_| false);
}

#[test]
fn davfs2_mounts_every_name() {
    if !is_root() || !Path::new("/dev/fuse").exists() {
        skip!("mounting with davfs2 needs root and /dev/fuse");
    }
    skip_if!(missing(&["mount.davfs", "unshare"]));
    let odd = Odd::new();
    let cache = odd.make("cache");
    let (got, mounted) = (odd.make("got"), odd.make("mounted"));
    let secrets = odd.own("secrets");
    fs::write(&secrets, format!("{} {} {}\n", odd.url, odd.user, odd.password)).unwrap();
    // The daemon works as a user of its own.
    for (path, mode) in [(secrets.as_path(), 0o600), (odd.folder.path(), 0o755), (&cache, 0o777)] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let configuration = odd.own("davfs2.conf");
    let settings = format!("use_locks 0\nbuf_size 256\ncache_dir {}\nsecrets {}\n", cache.display(), secrets.display());
    fs::write(&configuration, settings).unwrap();
    let script = r#"
        mount -t davfs -o "ro,conf=$1" "$2" "$3" || exit 1
        cd "$3" && find . -maxdepth 1 -type f -exec cp -t "$4" {} +
        cd / && umount "$3""#;
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "davfs"]);
    command.arg(&configuration).arg(&odd.url).arg(&mounted).arg(&got);
    process::run(&mut command, LIMIT).expect("davfs2");
    // Its cache file is called like the file and a little more, and a name of the cache has 255 bytes, too.
    assert_same(&odd.disk(), &read(&got), |name| name.len() > 240);
}

/// Names that a library of Python cannot put into a URL.
type Except = fn(&str) -> bool;

#[test]
fn python_clients_get_every_name_that_they_can_put_into_a_url() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => skip!("{why}"),
    };
    let odd = Odd::new();
    // webdav4 puts names into URLs as they are.
    let in_a_url =
        |name: &str| name.contains(['%', '?', '#']) || name.contains(|character: char| character.is_control());
    let libraries: [(&str, Except); 2] = [("webdav4", in_a_url), ("webdavclient3", |_| false)];
    for (library, except) in libraries {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/support/python_clients.py");
        let mut command = Command::new(&python);
        command.arg(script).args([library, &odd.url, &odd.user, &odd.password]).env("PYTHONUTF8", "1");
        let said = process::run(&mut command, LIMIT).expect(library).text();
        let mut seen = Files::new();
        for line in said.lines() {
            let (name, content) = line.split_once(' ').expect(line);
            if content != "failed" {
                seen.insert(from_hexadecimal(name), from_hexadecimal(content));
            }
        }
        assert_same(&odd.disk(), &seen, except);
    }
}

/// A Python that has the libraries: the one that `RAPTORGATE_PYTHON` names, the one that tests/run prepares, or the machine's.
fn python() -> Result<PathBuf, String> {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let named = std::env::var_os("RAPTORGATE_PYTHON").map(PathBuf::from);
    let found = named.into_iter().chain([prepared]).chain(process::find("python3")).find(|python| {
        let has = Command::new(python).args(["-c", "import webdav4.client, webdav3.client"]).output();
        has.is_ok_and(|has| has.status.success())
    });
    found.ok_or_else(|| "no Python with webdav4 and webdavclient3 (tests/run takes them from PyPI where it can)".into())
}

fn from_hexadecimal(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect(text);
    if text == "-" { Vec::new() } else { (0..text.len()).step_by(2).map(digit).collect() }
}
