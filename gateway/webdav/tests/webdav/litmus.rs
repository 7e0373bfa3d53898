//! litmus, the test suite of WebDAV servers: the suites `basic`, `http` and `props` against this service over a scratch tree. litmus wants to
//! make, write and remove what it asks about, and this service writes nothing: a shim of this test alone takes MKCOL, PUT and DELETE, changes the
//! endpoint in memory, and lists its directory anew; everything else goes to the service as it came. A test counts for what the service
//! answers; those that only the shim answers, and those that want writing, are named below with the reason.
//!
//! Debian's package is taken, or what `LITMUS` names (a folder with the programs of a later version).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vfs::testing::{FakeEntry, call};
use vfs::{FileType, Timestamp};

use crate::support::*;

const DEBIAN: &str = "/usr/libexec/litmus";

/// Tests that say nothing of this service or cannot pass, and why.
const EXCLUDED: [(&str, &[&str]); 4] = [
    (
        "the shim answers them, not the service",
        &[
            "begin",
            "put_get",
            "put_get_utf8_segment",
            "put_no_parent",
            "mkcol_over_plain",
            "delete",
            "delete_null",
            "delete_fragment",
            "mkcol",
            "mkcol_again",
            "delete_coll",
            "mkcol_no_parent",
            "mkcol_with_body",
            "mkcol_forbidden",
            "chk_ETag",
            "expect100",
            "put_location",
            "direct_connect",
            "propinit",
            "propcleanup",
        ],
    ),
    (
        "properties cannot be set: everything here is evidence",
        &[
            "propset",
            "propget",
            "propdeletes",
            "propreplace",
            "propnullns",
            "prophighunicode",
            "propremoveset",
            "propsetremove",
            "propvalnspace",
            "propmanyns",
        ],
    ),
    ("nothing can be moved or copied", &["propmove", "propcopy", "propmove_and_get"]),
    ("nothing is done", &["init", "finish"]),
];

fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("LITMUS").map(PathBuf::from);
    named.into_iter().chain([PathBuf::from(DEBIAN)]).find(|folder| folder.join("props").is_file())
}

/// Tells `tests/run`, which counts them.
fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("RAPTORGATE_SKIPPED") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        let line = format!("litmus: {why}\n");
        file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()))
            .expect("the file of skipped tests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_finds_nothing_wrong_with_what_is_served() {
    let Some(programs) = programs() else { return skip("litmus is not installed here") };
    let gateway = Arc::new(gateway().await);
    let shim = Shim::start(gateway.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    for (suite, least) in [("basic", 1), ("http", 0), ("props", 4)] {
        let said = run(&programs, suite, &shim, folder.path()).await;
        let results = results(&said);
        assert!(results.iter().any(|(name, _)| name == "begin"), "{suite} did not run:\n{said}");
        let mut passed = Vec::new();
        for (name, result) in &results {
            // It skips what needs a property that could not be set.
            if result.starts_with("SKIPPED") || EXCLUDED.iter().any(|(_, names)| names.contains(&name.as_str())) {
                continue;
            }
            assert!(result.starts_with("pass"), "{suite} {name}: {result}\n{said}");
            passed.push(name.as_str());
        }
        println!("{suite}: {passed:?} passed of {} tests", results.len());
        assert!(passed.len() >= least, "{suite}: only {passed:?}\n{said}");
    }
}

async fn run(programs: &Path, suite: &str, shim: &Shim, folder: &Path) -> String {
    let url = format!("http://{}{}", shim.address, linux(""));
    // What it uploads first.
    std::fs::create_dir_all(folder.join("htdocs")).unwrap();
    std::fs::write(folder.join("htdocs/foo"), "foo\n").unwrap();
    let mut command = std::process::Command::new("timeout");
    command.arg("120").arg(programs.join(suite)).arg(url).current_dir(folder);
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("a program");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// Warnings that are as it should be.
const WARNINGS: [&str; 1] = ["server does not claim Class 2 compliance"];

/// Name and result of each test: ` 2. options............... pass`. A warning stands in the place of the result, which follows it.
fn results(said: &str) -> Vec<(String, String)> {
    let mut results: Vec<(String, String)> = Vec::new();
    for line in said.lines().filter_map(|line| line.rsplit('\r').next()).map(str::trim_start) {
        let numbered = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok());
        if let Some((name, result)) = numbered.and_then(|(_, rest)| rest.split_once("..")) {
            let result = result.trim_start_matches(['.', ' ']).to_owned();
            results.push((name.trim_end_matches('.').to_owned(), result));
        } else if let (Some(rest), Some((_, result))) = (line.strip_prefix(".."), results.last_mut())
            && WARNINGS.iter().any(|known| result.ends_with(known))
        {
            *result = rest.trim_start_matches(['.', ' ']).to_owned();
        }
    }
    results
}

/// What writes, in front of the service.
struct Shim {
    address: std::net::SocketAddr,
}

/// What litmus made: paths below the accessor, and whether each is a directory.
type Made = Arc<Mutex<BTreeMap<Vec<String>, bool>>>;

impl Shim {
    async fn start(gateway: Arc<Gateway>) -> Shim {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let made = Made::default();
        made.lock().unwrap().insert(Vec::new(), true);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(one_request(stream, gateway.clone(), made.clone()));
            }
        });
        Shim { address }
    }
}

/// Each connection has one request: the answer closes it.
async fn one_request(mut stream: TcpStream, gateway: Arc<Gateway>, made: Made) -> Option<()> {
    let mut all = Vec::new();
    let end = loop {
        if let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut all).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let field = |name: &str| {
        head.lines().find(|line| line.to_lowercase().starts_with(name)).and_then(|line| line.split_once(": "))
    };
    let length = field("content-length:").map_or(0, |(_, length)| length.trim().parse().unwrap_or(0));
    let (method, rest) = head.split_once(' ')?;
    let path = rest.split_once(" HTTP/")?.0;
    if matches!(method, "MKCOL" | "PUT" | "DELETE") {
        if field("expect:").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        while all.len() < end + length && stream.read_buf(&mut all).await.ok()? > 0 {}
        let status = write(&gateway, &made, method, path, all[end..].to_vec()).await;
        let answer = format!("HTTP/1.1 {status} done\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
        return Some(());
    }
    let mut service = TcpStream::connect(gateway.address).await.ok()?;
    let head = head.trim_end().lines().filter(|line| !line.to_lowercase().starts_with("connection:"));
    let head = head.collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
    service.write_all(head.as_bytes()).await.ok()?;
    service.write_all(&all[end..]).await.ok()?;
    while all.len() < end + length {
        let before = all.len();
        if stream.read_buf(&mut all).await.ok()? == 0 {
            break;
        }
        service.write_all(&all[before..]).await.ok()?;
    }
    tokio::io::copy(&mut service, &mut stream).await.ok()?;
    Some(())
}

/// MKCOL, PUT or DELETE; the status of the answer.
async fn write(gateway: &Gateway, made: &Made, method: &str, path: &str, body: Vec<u8>) -> u16 {
    let Some(below) = path.strip_prefix(&linux("")) else { return 403 };
    if below.contains('#') {
        return 400;
    }
    let path: Vec<String> = below.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let Some((_, parent)) = path.split_last() else { return 403 };
    let names = |path: &[String]| path.iter().map(|name| leak(name)).collect::<Vec<&str>>();
    let (known, parent_is_directory) = {
        let made = made.lock().unwrap();
        (made.get(&path).copied(), made.get(parent) == Some(&true))
    };
    let status = match (method, known) {
        ("MKCOL", _) if !body.is_empty() => return 415,
        ("MKCOL", Some(_)) | ("PUT", Some(true)) => return 405,
        ("DELETE", None) => return 404,
        ("MKCOL" | "PUT", _) if !parent_is_directory => return 409,
        ("DELETE", Some(_)) => {
            let mut made = made.lock().unwrap();
            let gone: Vec<Vec<String>> = made.keys().filter(|other| other.starts_with(&path)).cloned().collect();
            for path in gone.iter().rev() {
                gateway.backend.remove(LINUX, "auto", &names(path));
                made.remove(path);
            }
            204
        }
        ("MKCOL", None) => {
            gateway.backend.add_directory(LINUX, "auto", &names(&path));
            made.lock().unwrap().insert(path.clone(), true);
            201
        }
        (_, known) => {
            static WRITES: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1_700_000_000);
            let modified = WRITES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let entry = FakeEntry {
                size: body.len() as u64,
                content: body.into(),
                modified: Some(Timestamp::new(modified, 0)),
                ..FakeEntry::new(FileType::Regular)
            };
            gateway.backend.add_entry(LINUX, "auto", &names(&path), entry);
            made.lock().unwrap().insert(path.clone(), false);
            if known.is_some() { 204 } else { 201 }
        }
    };
    let mut all = vec![LINUX, "auto"];
    all.extend(names(parent));
    let directory = gateway.vfs.resolve(&all, false, &call()).await.expect("it was made").node;
    let mut refresh = gateway.vfs.refresh(&directory, 0, &call());
    while refresh.next().await.is_some() {}
    status
}

/// The tree in memory takes names that live as long as it.
fn leak(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

fn decode(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (first, digits) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
