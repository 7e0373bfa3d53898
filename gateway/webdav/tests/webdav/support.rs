//! A service over a fake backend, and a client that shows every byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raptorgate_webdav::{Config, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vfs::endpoint::System;
use vfs::principal::{Event, Recorder};
use vfs::testing::FakeBackend;
use vfs::{Principal, Vfs};

pub const LINUX: &str = "C.1111111111111111";
pub const WINDOWS: &str = "C.2222222222222222";
pub const OFFLINE: &str = "C.3333333333333333";

/// User agents.
pub const MINI_REDIR: &str = "Microsoft-WebDAV-MiniRedir/10.0.19045";
pub const FINDER: &str = "WebDAVFS/3.0.0 (03008000) Darwin/23.1.0 (arm64)";
pub const DAVFS2: &str = "davfs2/1.6.1 neon/0.32.2";
pub const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/130";

/// A running service.
pub struct Gateway {
    pub backend: Arc<FakeBackend>,
    pub vfs: Vfs,
    pub ledger: Arc<Ledger>,
    pub server: Server,
    pub address: SocketAddr,
}

/// A service with the usual tree.
pub async fn gateway() -> Gateway {
    gateway_with(|_| {}).await
}

/// A service with the usual tree and changed settings.
pub async fn gateway_with(change: impl FnOnce(&mut Config)) -> Gateway {
    let backend = FakeBackend::new();
    backend.add_endpoint(LINUX, System::Linux, true);
    backend.add_endpoint(WINDOWS, System::Windows, true);
    backend.add_endpoint(OFFLINE, System::Linux, false);
    backend.add_file(LINUX, "auto", &["etc", "hosts"], "127.0.0.1 localhost\n");
    backend.add_file(LINUX, "auto", &["etc", "empty"], "");
    backend.add_link(LINUX, "auto", &["etc", "link"], "/etc/hosts");
    backend.add_directory(LINUX, "auto", &["empty"]);
    backend.add_file(WINDOWS, "auto", &["C:", "Users", "a b.txt"], "hello");
    backend.add_file(OFFLINE, "auto", &["never", "seen"], "x");
    for count in [2_500, 10_000, 100_000] {
        backend.add_directory(LINUX, "auto", &["large", &format!("many-{count}")]);
    }
    let ledger = Arc::new(Ledger::default());
    let vfs = crate::large::recorded(&backend, ledger.clone());
    let mut config = Config::new(Principal::new("tester"));
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    change(&mut config);
    let server = Server::start(vfs.clone(), config).await.unwrap();
    let address = server.addresses()[0];
    Gateway { backend, vfs, ledger, server, address }
}

/// What was recorded.
#[derive(Default)]
pub struct Ledger(Mutex<Vec<Event>>);

impl Recorder for Ledger {
    fn record(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Ledger {
    /// Endpoint, path and reason of what was refused.
    pub fn refusals(&self) -> Vec<(String, String, String)> {
        let events = self.0.lock().unwrap();
        let refused = events.iter().filter_map(|event| match event {
            Event::Refused { endpoint, path, reason, .. } => {
                Some((endpoint.to_string(), path.to_string(), reason.to_string()))
            }
            _ => None,
        });
        refused.collect()
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as its framing promised.
    pub complete: bool,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    host: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        Client { stream, buffer: Vec::new(), host: address.to_string() }
    }

    /// Sends one request and reads its answer on the same connection.
    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.write(method, path, headers, body).await;
        self.read(method == "HEAD").await
    }

    pub async fn write(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("Host: {}\r\n", self.host));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.write_raw(&bytes).await;
    }

    pub async fn write_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The head of a response; `None` if the connection was closed instead.
    pub async fn read_head(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Some(Response { status, headers, body: Vec::new(), complete: false })
    }

    pub async fn read(&mut self, is_head: bool) -> Response {
        let mut response = self.read_head().await.expect("a response");
        if is_head || response.status == 304 || response.status == 204 {
            response.complete = true;
        } else if response.header("transfer-encoding") == Some("chunked") {
            self.read_chunks(&mut response).await;
        } else {
            let length: usize = response.header("content-length").map_or(0, |length| length.parse().unwrap());
            while self.buffer.len() < length && self.fill().await {}
            let end = length.min(self.buffer.len());
            response.body = self.buffer.drain(..end).collect();
            response.complete = response.body.len() == length;
        }
        response
    }

    async fn read_chunks(&mut self, response: &mut Response) {
        while let Some(chunk) = self.read_chunk().await {
            if chunk.is_empty() {
                response.complete = true;
                return;
            }
            response.body.extend_from_slice(&chunk);
        }
    }

    /// The next chunk; empty at the end, `None` if the connection was cut.
    pub async fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            if !self.fill().await {
                return None;
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&self.buffer[..end]).unwrap(), 16).unwrap();
        while self.buffer.len() < end + 2 + size + 2 {
            if !self.fill().await {
                return None;
            }
        }
        let chunk = self.buffer[end + 2..end + 2 + size].to_vec();
        self.buffer.drain(..end + 2 + size + 2);
        Some(chunk)
    }

    /// Reads more; false at the end of the connection.
    async fn fill(&mut self) -> bool {
        let mut piece = vec![0; 256 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                true
            }
        }
    }

    /// Whether the server closes the connection.
    pub async fn is_closed(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(20), async { while self.fill().await {} }).await.is_ok()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// One request on a connection of its own.
pub async fn ask(gateway: &Gateway, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    Client::connect(gateway.address).await.send(method, path, headers, body).await
}

/// Hrefs of a multistatus, in order.
pub fn hrefs(text: &str) -> Vec<&str> {
    between(text, "<D:href>", "</D:href>")
}

/// What stands between two marks, each time.
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

/// The path of something on the Linux endpoint.
pub fn linux(rest: &str) -> String {
    format!("/{LINUX}/auto/{rest}")
}
