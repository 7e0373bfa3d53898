//! A small HTTP client: one request on one connection, everything visible, nothing retried.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Http {
    /// `host:port`.
    pub authority: String,
    /// The value of the Authorization header.
    pub authorization: Option<String>,
}

/// An answer, complete.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, without transfer encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// A client for the server at `url` (`http://host:port/`).
    pub fn new(url: &str, credentials: Option<(&str, &str)>) -> Http {
        let authority = url.strip_prefix("http://").expect("plain http").trim_end_matches('/').to_owned();
        let authorization =
            credentials.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        Http { authority, authorization }
    }

    /// GET of an encoded path.
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], b"").unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// One request. A body that ends before its length or its last chunk is an error.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {}\r\n", self.authority));
        }
        if let Some(authorization) = &self.authorization {
            head.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        read_response(BufReader::new(stream), method == "HEAD")
    }
}

fn read_response(mut from: BufReader<TcpStream>, no_body: bool) -> io::Result<Response> {
    let status_line = line(&mut from)?;
    let status =
        status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken(&status_line))?;
    let mut headers = Vec::new();
    loop {
        let header = line(&mut from)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').ok_or_else(|| broken(&header))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if no_body || matches!(status, 204 | 304) {
        return Ok(response);
    }
    if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let size_line = line(&mut from)?;
            let size =
                u64::from_str_radix(size_line.split(';').next().unwrap_or(""), 16).map_err(|_| broken(&size_line))?;
            read_exactly(&mut from, size, &mut response.body)?;
            line(&mut from)?;
            if size == 0 {
                return Ok(response);
            }
        }
    }
    match response.header("content-length").map(str::to_owned) {
        Some(length) => {
            let length = length.parse().map_err(|_| broken(&length))?;
            read_exactly(&mut from, length, &mut response.body)?;
        }
        None => {
            from.read_to_end(&mut response.body)?;
        }
    }
    Ok(response)
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_exactly(from: &mut impl Read, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let read = from.take(length).read_to_end(body)?;
    if (read as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP: {what:?}"))
}

/// A path component as it stands in a URL: everything but letters, digits and `-._~` is escaped.
pub fn encode(component: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in component {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The bytes that an escaped path means.
pub fn decode(path: &str) -> Vec<u8> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = [bytes.next().expect("two digits"), bytes.next().expect("two digits")];
        let digits = std::str::from_utf8(&digits).expect("digits");
        decoded.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
    }
    decoded
}
