//! A server before a small tree, for bytes that nobody vouches for. Used by the property test and by the fuzz targets (`fuzz/`).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raptorgate_nfs::{Config, PortmapMode, Server};
use tokio::runtime::Runtime;
use vfs::testing::{FakeBackend, call};
use vfs::{System, Vfs};

/// No reply is longer: a READ of the most that is given at once, its attributes and its head.
pub const LONGEST_REPLY: usize = (1 << 20) + 4096;
/// Threads of the server have this name, so that a panic of theirs is told from others.
const THREADS: &str = "under-test";

static PANICKED: AtomicBool = AtomicBool::new(false);

/// The server, and where its handles go in an input.
pub struct Harness {
    address: SocketAddr,
    directory: Vec<u8>,
    file: Vec<u8>,
    link: Vec<u8>,
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
        let (server, vfs) = runtime.block_on(async {
            let backend = FakeBackend::new();
            backend.add_endpoint("C.1", System::Windows, true);
            backend.add_file("C.1", "auto", &["C:", "Users", "file"], vec![7; 300_000]);
            backend.add_link("C.1", "auto", &["C:", "Users", "link"], "file");
            for number in 0..300 {
                backend.add_file("C.1", "auto", &["C:", "Users", &format!("entry {number}")], "x");
            }
            let vfs = vfs::testing::vfs(&backend);
            let config = Config {
                listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
                portmap: PortmapMode::Off,
                loopback_any: true,
                hold: Duration::from_millis(200),
                ..Config::default()
            };
            (Server::start(vfs.clone(), config).await.expect("a server"), vfs)
        });
        let handle = |path: &[&str]| runtime.block_on(handle_of(&vfs, path));
        let directory = handle(&["C.1", "auto", "C:", "Users"]);
        let file = handle(&["C.1", "auto", "C:", "Users", "file"]);
        let link = handle(&["C.1", "auto", "C:", "Users", "link"]);
        Harness { address: server.addresses()[0], directory, file, link, _server: server, _runtime: runtime }
    }

    /// The input with this server's handles where places for handles are.
    pub fn adopt(&self, input: &[u8]) -> Vec<u8> {
        let mut input = input.to_vec();
        let mut at = 0;
        while at + 64 <= input.len() {
            if input[at] == 1 && &input[at + 2..at + 8] == b"HANDLE" {
                let handle = match input[at + 1] {
                    1 => &self.directory,
                    3 => &self.link,
                    _ => &self.file,
                };
                input[at..at + 64].copy_from_slice(handle);
                at += 64;
            } else {
                at += 1;
            }
        }
        input
    }

    /// Sends bytes over a connection of their own, nothing after them, and gives the replies.
    ///
    /// # Panics
    /// If the server panicked, or a reply is none or is too long.
    pub fn send(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).expect("the server takes connections");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        // The server may close early: what it said by then counts.
        let sent = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if let Err(error) = &read {
            assert!(error.kind() != std::io::ErrorKind::WouldBlock, "the connection hangs after {sent:?}");
        }
        assert!(!PANICKED.load(Ordering::SeqCst), "the server panicked");
        let mut replies = Vec::new();
        let mut rest = &answer[..];
        while let Some((marker, after)) = rest.split_first_chunk::<4>() {
            let marker = u32::from_be_bytes(*marker);
            let length = (marker & 0x7fff_ffff) as usize;
            assert!(marker >> 31 == 1 && length <= LONGEST_REPLY, "a reply of {marker:x}");
            // A connection that was reset may have lost the end.
            let Some((reply, after)) = after.split_at_checked(length) else {
                assert!(read.is_err(), "half a reply");
                break;
            };
            assert!(length >= 12 && reply[4..8] == [0, 0, 0, 1], "no reply: {:?}", &reply[..length.min(12)]);
            replies.push(reply.to_vec());
            rest = after;
        }
        replies
    }

    /// Sends one record.
    pub fn record(&self, record: &[u8]) -> Vec<Vec<u8>> {
        let marker = u32::try_from(record.len()).unwrap_or(u32::MAX) | 1 << 31;
        self.send(&[&marker.to_be_bytes(), record].concat())
    }

    /// Sends a call of `program`; the input begins with version and procedure. A call that waits is not waited for.
    pub fn call(&self, program: u32, input: &[u8]) -> Vec<Vec<u8>> {
        let Some(([version, procedure], arguments)) = input.split_first_chunk::<2>() else { return Vec::new() };
        let head = [7, 0, 2, program, u32::from(*version), u32::from(*procedure), 1, 24, 0, 1, 0, 0, 0, 0, 0, 0];
        // Machine name: one letter.
        let mut record: Vec<u8> = head.iter().take(10).flat_map(|word: &u32| word.to_be_bytes()).collect();
        record.extend_from_slice(b"m\0\0\0");
        record.extend([0; 12]);
        record.extend([0; 8]);
        record.extend_from_slice(arguments);
        self.record(&record)
    }

    /// Whether it still serves.
    pub fn is_well(&self) -> bool {
        self.call(100_003, &[3, 0]).len() == 1
    }
}

async fn handle_of(vfs: &Vfs, path: &[&str]) -> Vec<u8> {
    let found = vfs.resolve(path, false, &call()).await.expect("it is there");
    vfs.handle(&found.node).to_vec()
}
