//! As little of an HTTP client as costs nothing beside any server: one buffer, heads by hand, bodies by length, by chunks, or to the end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server, a folder on it, and how to be let in.
pub struct Target {
    address: String,
    folder: String,
    fields: String,
}

impl Target {
    /// `folder` is an encoded path with a slash at both ends.
    pub fn new(address: &str, folder: &str, login: Option<&str>) -> Target {
        let login = login.map(|login| format!("Authorization: Basic {}\r\n", base64(login.as_bytes())));
        let fields = format!("Host: {address}\r\n{}", login.unwrap_or_default());
        Target { address: address.to_owned(), folder: folder.to_owned(), fields }
    }

    /// GET as a program sends it.
    pub fn get(&self, name: &str) -> Vec<u8> {
        format!("GET {}{name} HTTP/1.1\r\n{}\r\n", self.folder, self.fields).into_bytes()
    }

    /// GET as a browser asks for the page of a directory.
    pub fn page(&self, name: &str) -> Vec<u8> {
        let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/130\r\nAccept: text/html\r\n";
        format!("GET {}{name}/ HTTP/1.1\r\n{}{browser}\r\n", self.folder, self.fields).into_bytes()
    }

    /// PROPFIND of a directory and its children.
    pub fn propfind(&self, name: &str, body: &str) -> Vec<u8> {
        let (folder, fields, length) = (&self.folder, &self.fields, body.len());
        let kind = "Depth: 1\r\nContent-Type: application/xml\r\n";
        format!("PROPFIND {folder}{name}/ HTTP/1.1\r\n{fields}{kind}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    /// PROPFIND of one thing, as Windows asks.
    pub fn propfind_alone(&self, name: &str) -> Vec<u8> {
        let windows = "User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045\r\nDepth: 0\r\nContent-Length: 0\r\n";
        format!("PROPFIND {}{name} HTTP/1.1\r\n{}{windows}\r\n", self.folder, self.fields).into_bytes()
    }
}

/// The head of an answer.
pub struct Head {
    pub status: u16,
    /// The server closes the connection behind this answer.
    pub closes: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Enough for a whole answer with a small file, and for large reads.
const BUFFER: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

impl Connection {
    pub fn open(target: &Target) -> io::Result<Connection> {
        let stream = TcpStream::connect(&target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, buffer: vec![0; BUFFER], start: 0, end: 0 })
    }

    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads a head.
    pub fn head(&mut self) -> io::Result<Head> {
        let end = loop {
            let held = &self.buffer[self.start..self.end];
            if let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.more()?;
        };
        let text = String::from_utf8_lossy(&self.buffer[self.start..self.start + end]).into_owned();
        self.start += end;
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| broken("no status"))?;
        let mut head = Head { status, closes: false, length: None, is_chunked: false };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.is_chunked = value.trim().eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        Ok(head)
    }

    /// Reads a body to its end, and says how long it was.
    pub fn body(&mut self, head: &Head, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
        let mut total = 0;
        if !head.is_chunked {
            let length = head.length.ok_or_else(|| broken("no length"))?;
            self.take(length, &mut each)?;
            return Ok(length);
        }
        loop {
            let line = self.line()?;
            let size = u64::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16);
            let size = size.map_err(|_| broken("no chunk"))?;
            self.take(size, &mut each)?;
            self.line()?;
            if size == 0 {
                return Ok(total);
            }
            total += size;
        }
    }

    fn take(&mut self, mut left: u64, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            if self.start == self.end {
                self.more()?;
            }
            let count = (self.end - self.start).min(usize::try_from(left).unwrap_or(usize::MAX));
            each(&self.buffer[self.start..self.start + count]);
            self.start += count;
            left -= count as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            let held = &self.buffer[self.start..self.end];
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&held[..end]).trim_end().to_owned();
                self.start += end + 1;
                return Ok(line);
            }
            self.more()?;
        }
    }

    /// Reads more, behind what is not used yet.
    fn more(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err(broken("the connection was closed")),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}
