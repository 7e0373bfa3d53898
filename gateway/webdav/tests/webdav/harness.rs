//! A server before a small tree, for bytes that nobody vouches for. Used by the property test and by the fuzz targets (`fuzz/`).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raptorgate_webdav::{Config, Server};
use tokio::runtime::Runtime;
use vfs::testing::FakeBackend;
use vfs::{Principal, System};

/// Bytes of the file that ranges are taken from.
pub const FILE: usize = 100_000;
/// No answer is longer: the whole file, or a listing, with its head.
const LONGEST_ANSWER: usize = 400_000;
/// Threads of the server have this name, so that a panic of theirs is told from others.
const THREADS: &str = "webdav-under-test";
const WINDOWS: &str = "User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045\r\n";

static PANICKED: AtomicBool = AtomicBool::new(false);

/// What the input is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All bytes of a connection.
    Requests,
    /// The body of a PROPFIND, and of Windows' PROPPATCH and LOCK.
    Xml,
    /// The path of a GET and of a PROPFIND.
    Path,
    /// The `Range` header of a GET, with and without a condition.
    Range,
    /// The `If` header, as Windows' UNLOCK and LOCK have it.
    If,
}

/// The server.
pub struct Harness {
    address: SocketAddr,
    _server: Server,
    _runtime: Runtime,
}

impl Harness {
    /// Starts it.
    pub fn start() -> Harness {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(THREADS) {
                PANICKED.store(true, Ordering::SeqCst);
            }
            others(panic);
        }));
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name(THREADS).enable_all().build().expect("a runtime");
        let server = runtime.block_on(async {
            let backend = FakeBackend::new();
            backend.add_endpoint("C.1", System::Windows, true);
            backend.add_file("C.1", "auto", &["C:", "Users", "file"], vec![7; FILE]);
            backend.add_link("C.1", "auto", &["C:", "Users", "link"], "file");
            for number in 0..100 {
                backend.add_file("C.1", "auto", &["C:", "Users", &format!("entry {number}")], "x");
            }
            let mut config = Config::new(Principal::new("tester"));
            config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
            config.hold = Duration::from_millis(200);
            config.header_timeout = Duration::from_secs(2);
            Server::start(vfs::testing::vfs(&backend), config).await.expect("a server")
        });
        Harness { address: server.addresses()[0], _server: server, _runtime: runtime }
    }

    /// Sends the input as what it is for.
    ///
    /// # Panics
    /// If the server panicked, hangs, or answers with what no answer may be.
    pub fn run(&self, target: Target, input: &[u8]) -> Vec<u16> {
        let ask = |method: &str, path: &[u8], fields: &str, header: &[u8], body: &[u8]| {
            let mut request = method.as_bytes().to_vec();
            request.push(b' ');
            request.extend_from_slice(path);
            let length = body.len();
            let fields =
                format!(" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}");
            request.extend_from_slice(fields.as_bytes());
            request.extend_from_slice(header);
            request.extend_from_slice(b"\r\n");
            request.extend_from_slice(body);
            self.send(&request, false)
        };
        let header = |name: &[u8], value: &[u8]| [name, b": ", value, b"\r\n"].concat();
        let file = b"/C.1/auto/C:/Users/file";
        match target {
            Target::Requests => vec![self.send(input, true)],
            Target::Xml => vec![
                ask("PROPFIND", file, "Depth: 0\r\n", b"", input),
                ask("PROPPATCH", file, WINDOWS, b"", input),
                ask("LOCK", file, WINDOWS, b"", input),
            ],
            Target::Path => vec![ask("GET", input, "", b"", b""), ask("PROPFIND", input, "Depth: 1\r\n", b"", b"")],
            Target::Range => vec![
                ask("GET", file, "", &header(b"Range", input), b""),
                ask("GET", file, "If-Match: *\r\n", &header(b"Range", input), b""),
            ],
            Target::If => vec![
                ask("LOCK", file, WINDOWS, &header(b"If", input), b""),
                ask("UNLOCK", file, WINDOWS, &header(b"Lock-Token", input), b""),
                ask("GET", file, "", &header(b"If-None-Match", input), b""),
                ask("GET", file, "Range: bytes=1-5\r\n", &header(b"If-Range", input), b""),
            ],
        }
    }

    /// Sends bytes over a connection of their own; the status of the first answer, 0 if the connection was closed instead.
    fn send(&self, bytes: &[u8], is_all: bool) -> u16 {
        let mut stream = TcpStream::connect(self.address).expect("the server takes connections");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        // The server may close early: what it said by then counts.
        let sent = stream.write_all(bytes);
        if is_all {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if let Err(error) = &read {
            assert!(error.kind() != ErrorKind::WouldBlock, "the connection hangs after {sent:?}");
        }
        assert!(!PANICKED.load(Ordering::SeqCst), "the server panicked");
        if answer.is_empty() {
            return 0;
        }
        let status =
            answer.strip_prefix(b"HTTP/1.1 ").or(answer.strip_prefix(b"HTTP/1.0 ")).and_then(|rest| rest.get(..3));
        let status = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let status: u16 = status
            .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&answer[..answer.len().min(80)])));
        // 502 and 503 speak of an endpoint, and this one is well.
        assert!(matches!(status, 200..=499), "status {status}");
        if !is_all {
            assert!(answer.len() <= LONGEST_ANSWER, "an answer of {} bytes", answer.len());
            assert!(read.is_err() || is_whole(&answer), "an answer that ends early, and looks as if it did not");
        }
        status
    }

    /// Whether it still serves.
    pub fn is_well(&self) -> bool {
        self.run(Target::Path, b"/C.1/auto/C:/Users/file") == [200, 207]
    }
}

/// An answer has the length that it announces.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end + 4..]);
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (field("content-length:"), field("transfer-encoding:")) {
        _ if head.starts_with("http/1.1 304") => body.is_empty(),
        (Some(length), None) => length.parse() == Ok(body.len()),
        (None, Some("chunked")) => body.ends_with(b"\r\n0\r\n\r\n") || body == b"0\r\n\r\n",
        (None, None) => head.starts_with("http/1.1 204") || body.is_empty(),
        _ => false,
    }
}
