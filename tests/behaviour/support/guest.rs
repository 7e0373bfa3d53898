//! The real Linux NFS client: a guest kernel that runs one of the scripts of `guest/` (see `tests/nfsvm`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::ground_truth::{Object, Objects};
use super::network::Namespace;
use super::process::{self, Finished};

/// The kernels of the two newest Debian releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// Linux 6.12.
    Trixie,
    /// Linux 6.1.
    Bookworm,
}

impl Release {
    fn name(self) -> &'static str {
        match self {
            Release::Trixie => "trixie",
            Release::Bookworm => "bookworm",
        }
    }
}

/// Where the guest's `$HOST` leads.
pub enum Link<'a> {
    /// To this port of the loopback.
    Port(u16),
    /// Into a namespace.
    Inside(&'a Namespace),
}

/// Why no guest with this kernel can run here.
pub fn obstacle(release: Release) -> Option<String> {
    prepare(release, &[])
}

/// Why none can that has the programs which people run on a mount, too.
pub fn obstacle_with_programs(release: Release) -> Option<String> {
    prepare(release, &["--with"])
}

fn prepare(release: Release, options: &'static [&'static str]) -> Option<String> {
    type Obstacles = BTreeMap<(Release, &'static [&'static str]), Option<String>>;
    static PREPARED: Mutex<Obstacles> = Mutex::new(BTreeMap::new());
    let mut prepared = PREPARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    prepared
        .entry((release, options))
        .or_insert_with(|| {
            let probe = process::run(Command::new(program()).arg("probe"), Duration::from_secs(30));
            if !probe.succeeded() {
                return Some(format!("no guest kernel here: {}", probe.text().trim()));
            }
            let ready = process::run(
                Command::new(program()).args(["prepare", "--release", release.name()]).args(options),
                Duration::from_secs(600),
            );
            (!ready.succeeded()).then(|| format!("the guest's packages could not be fetched: {}", ready.stderr.trim()))
        })
        .clone()
}

/// What a script did and left behind.
pub struct Ran {
    /// How it ended and what it said.
    pub finished: Finished,
    out: TempDir,
}

impl Ran {
    /// A file that the script left in `/out`; empty when it left none of this name.
    pub fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.out.path().join(name)).unwrap_or_default()
    }

    /// The same as text, without white space at the ends.
    pub fn said(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.file(name)).trim().to_owned()
    }

    /// What `walk.sh` saw.
    pub fn objects(&self) -> Objects {
        objects(&self.file("objects"), &self.file("sums"))
    }

    /// What `walk.sh` saw when it had read everything.
    pub fn objects_after(&self) -> Objects {
        objects(&self.file("objects-after"), b"")
    }
}

/// Runs a script of `guest/` as root in a guest. The script must succeed.
#[track_caller]
pub fn run(release: Release, link: &Link, script: &str, variables: &[(&str, &str)]) -> Ran {
    let ran = try_run(release, link, script, variables);
    let Ran { finished, out } = ran;
    Ran { finished: finished.expect(script), out }
}

/// Runs a script of `guest/` that writes a line to `checks` for each thing it looks at, with the programs that people run on a mount,
/// and a directory of this machine as `/share`. Every line must be good, and the last one must be the end.
#[track_caller]
pub fn check(release: Release, link: &Link, script: &str, share: &Path, variables: &[(&str, &str)]) -> Ran {
    let out = TempDir::new().unwrap();
    let mut command = command(release, link, variables);
    command.arg("--with").arg("--share").arg(share).arg("--out").arg(out.path()).arg(path(script));
    let finished = process::run(&mut command, Duration::from_secs(700)).expect(script);
    let ran = Ran { finished, out };
    let checks = ran.said("checks");
    let bad: Vec<&str> = checks.lines().filter(|line| !line.starts_with("ok ") && *line != "end").collect();
    assert!(bad.is_empty(), "{script} on {release:?}:\n{}\n{}", bad.join("\n"), ran.finished.stderr);
    assert_eq!(checks.lines().last(), Some("end"), "{script} on {release:?} stopped early: {checks}");
    eprintln!("{script} on {release:?}: {} checks in {:?}", checks.lines().count() - 1, ran.finished.took);
    ran
}

/// Runs a script of `guest/`, however it ends.
pub fn try_run(release: Release, link: &Link, script: &str, variables: &[(&str, &str)]) -> Ran {
    let out = TempDir::new().unwrap();
    let mut command = command(release, link, variables);
    command.arg("--out").arg(out.path()).arg(path(script));
    let finished = process::run(&mut command, Duration::from_secs(700));
    Ran { finished, out }
}

/// A script that goes on only when it is told to.
pub struct Session {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Session {
    /// Starts a script; it runs to its first `pause`.
    pub fn start(release: Release, link: &Link, script: &str, variables: &[(&str, &str)]) -> Session {
        let mut command = command(release, link, variables);
        command.arg("--stdin").arg(path(script));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Session { child, to, from }
    }

    /// Waits for the script to reach `@name`; gives the lines that it printed before.
    #[track_caller]
    pub fn reach(&mut self, name: &str) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.from.read_line(&mut line).unwrap();
            assert!(length > 0, "the guest ended before @{name}: {said:#?}");
            let line = line.trim_end().to_owned();
            eprintln!("guest: {line}");
            if line.strip_prefix('@') == Some(name) {
                return said;
            }
            assert!(!line.starts_with('@'), "the guest is at {line}, not at @{name}: {said:#?}");
            said.push(line);
        }
    }

    /// Lets the script go on.
    pub fn go_on(&mut self) {
        writeln!(self.to, "go").unwrap();
    }

    /// Waits for the end, which must be a good one; gives the last lines.
    #[track_caller]
    pub fn end(mut self) -> Vec<String> {
        let said: Vec<String> = self.from.by_ref().lines().map(Result::unwrap).collect();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {said:#?}");
        said
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The launcher kills its guest when it is told to end.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            process::signal("TERM", self.child.id());
            let _status = self.child.wait();
        }
    }
}

fn command(release: Release, link: &Link, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command.args(["run", "--release", release.name(), "--timeout", "600"]);
    match link {
        Link::Port(port) => command.args(["--ports", &port.to_string(), "--env", &format!("PORT={port}")]),
        Link::Inside(namespace) => command.arg("--net").arg(format!("netns:{}", namespace.name)),
    };
    for (name, value) in variables {
        command.arg("--env").arg(format!("{name}={value}"));
    }
    command
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nfsvm/nfsvm")
}

fn path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/guest").join(script)
}

/// Reads what `walk.sh` wrote: seven fields per object, each ended by NUL; and sums as `sha256sum -z` writes them.
fn objects(listing: &[u8], sums: &[u8]) -> Objects {
    let mut objects = Objects::new();
    let fields: Vec<&[u8]> = listing.split(|byte| *byte == 0).collect();
    for object in fields.chunks_exact(7) {
        let [path, kind, size, modified, mode, owner, link] = object else { unreachable!("chunks of seven") };
        let text = |field: &[u8]| String::from_utf8(field.to_vec()).expect("find prints text");
        let kind = text(kind).chars().next().expect("a type");
        let name = String::from_utf8_lossy(path);
        // D1: nothing that the endpoint says about rights reaches the workstation.
        let mode = text(mode);
        let expected = match kind {
            'd' => "555",
            'l' => "777",
            _ => "444",
        };
        assert_eq!(mode, expected, "mode of {name:?}");
        assert_eq!(text(owner), "65534:65534", "owner of {name:?}");
        let (seconds, nanos) = seconds_and_nanos(&text(modified));
        let seen = Object {
            kind,
            size: (kind == 'f').then(|| text(size).parse().expect("a size")),
            modified: Some((seconds, nanos)),
            sha256: None,
            link: (kind == 'l').then(|| link.to_vec()),
        };
        assert!(objects.insert(path.to_vec(), seen).is_none(), "twice: {name:?}");
    }
    for sum in sums.split(|byte| *byte == 0).filter(|sum| !sum.is_empty()) {
        let (hash, name) = sum.split_at(64);
        let name = name.strip_prefix(b"  ./").or_else(|| name.strip_prefix(b" *./")).expect("a name");
        let hash = String::from_utf8(hash.to_vec()).expect("hexadecimal digits");
        objects.get_mut(name).expect("listed before it was read").sha256 = Some(hash);
    }
    objects
}

/// `1700000000.1234567890` as find prints it.
fn seconds_and_nanos(time: &str) -> (i64, u32) {
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    (seconds.parse().expect("seconds"), digits.parse().expect("nanoseconds"))
}
