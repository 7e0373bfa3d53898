//! A small blocking RPC client that shows replies as they are on the wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

pub const NFS: u32 = 100_003;
pub const MOUNT: u32 = 100_005;

/// XDR being built.
#[derive(Debug, Clone, Default)]
pub struct Xdr(pub Vec<u8>);

impl Xdr {
    pub fn new() -> Xdr {
        Xdr::default()
    }

    pub fn u32(mut self, value: u32) -> Xdr {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Xdr {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub fn opaque(mut self, bytes: &[u8]) -> Xdr {
        self.0.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Xdr {
        self.0.extend(bytes);
        self
    }
}

/// XDR being read.
#[derive(Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    pub fn new(bytes: Vec<u8>) -> Reader {
        Reader { bytes, at: 0 }
    }

    pub fn fixed(&mut self, length: usize) -> Vec<u8> {
        let bytes = self.bytes[self.at..self.at + length].to_vec();
        self.at += length.next_multiple_of(4);
        bytes
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.fixed(4).try_into().unwrap())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.fixed(8).try_into().unwrap())
    }

    pub fn opaque(&mut self) -> Vec<u8> {
        let length = self.u32() as usize;
        self.fixed(length)
    }

    pub fn text(&mut self) -> String {
        String::from_utf8(self.opaque()).unwrap()
    }

    /// `fattr3`.
    pub fn attributes(&mut self) -> Attributes {
        let head: Vec<u32> = (0..5).map(|_| self.u32()).collect();
        let (size, used) = (self.u64(), self.u64());
        let device = (self.u32(), self.u32());
        let (fsid, file_id) = (self.u64(), self.u64());
        let times = [(); 3].map(|()| (self.u32(), self.u32()));
        Attributes {
            file_type: head[0],
            mode: head[1],
            links: head[2],
            owner: (head[3], head[4]),
            size,
            used,
            device,
            fsid,
            file_id,
            times,
        }
    }

    /// `post_op_attr`.
    pub fn optional_attributes(&mut self) -> Option<Attributes> {
        (self.u32() == 1).then(|| self.attributes())
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub file_type: u32,
    pub mode: u32,
    pub links: u32,
    pub owner: (u32, u32),
    pub size: u64,
    pub used: u64,
    pub device: (u32, u32),
    pub fsid: u64,
    pub file_id: u64,
    pub times: [(u32, u32); 3],
}

/// One connection.
pub struct Client<S = TcpStream> {
    pub stream: S,
    pub uid: u32,
    pub sender: Sender,
    xid: u32,
}

/// What AUTH_SYS says besides the user.
pub struct Sender {
    pub stamp: u32,
    pub machine: &'static str,
    pub gid: u32,
    pub groups: &'static [u32],
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream)
    }

    /// Whether the server closed the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0)) || self.stream.take_error().unwrap().is_some()
    }
}

impl<S: Read + Write> Client<S> {
    /// A client of a connection that is there.
    pub fn over(stream: S) -> Client<S> {
        Client { stream, uid: 0, sender: Sender { stamp: 7, machine: "tester", gid: 0, groups: &[] }, xid: 100 }
    }

    /// The bytes of a call after the record marker.
    pub fn message(&mut self, program: u32, version: u32, procedure: u32, arguments: &Xdr) -> (u32, Vec<u8>) {
        self.xid += 1;
        let Sender { stamp, machine, gid, groups } = self.sender;
        let credential = Xdr::new().u32(stamp).opaque(machine.as_bytes()).u32(self.uid).u32(gid);
        let credential = credential.u32(u32::try_from(groups.len()).unwrap());
        let credential = groups.iter().fold(credential, |credential, group| credential.u32(*group));
        let head = Xdr::new().u32(self.xid).u32(0).u32(2).u32(program).u32(version).u32(procedure);
        (self.xid, head.u32(1).opaque(&credential.0).u32(0).u32(0).raw(&arguments.0).0)
    }

    pub fn send_record(&mut self, record: &[u8]) {
        let marker = u32::try_from(record.len()).unwrap() | 1 << 31;
        self.stream.write_all(&[&marker.to_be_bytes(), record].concat()).unwrap();
    }

    /// Sends a call and does not wait for its reply.
    pub fn send(&mut self, program: u32, version: u32, procedure: u32, arguments: &Xdr) -> u32 {
        let (xid, message) = self.message(program, version, procedure, arguments);
        self.send_record(&message);
        xid
    }

    /// The next reply: its XID and all that follows.
    pub fn receive(&mut self) -> (u32, Reader) {
        let mut marker = [0; 4];
        self.stream.read_exact(&mut marker).expect("a reply");
        let marker = u32::from_be_bytes(marker);
        assert!(marker >> 31 == 1, "one fragment per reply");
        let mut record = vec![0; (marker & 0x7fff_ffff) as usize];
        self.stream.read_exact(&mut record).unwrap();
        let mut reader = Reader::new(record);
        (reader.u32(), reader)
    }

    /// Calls; gives everything after the XID.
    pub fn raw_call(&mut self, program: u32, version: u32, procedure: u32, arguments: &Xdr) -> Reader {
        let xid = self.send(program, version, procedure, arguments);
        let (answered, reader) = self.receive();
        assert_eq!(answered, xid);
        reader
    }

    /// Calls; gives the results of an accepted, successful call.
    pub fn call(&mut self, program: u32, version: u32, procedure: u32, arguments: &Xdr) -> Reader {
        results(self.raw_call(program, version, procedure, arguments))
    }

    /// Calls NFS version 3; gives status and the rest.
    pub fn nfs(&mut self, procedure: u32, arguments: &Xdr) -> (u32, Reader) {
        let mut reader = self.call(NFS, 3, procedure, arguments);
        (reader.u32(), reader)
    }

    /// The handle at `path`.
    pub fn mount(&mut self, path: &str) -> Vec<u8> {
        let mut reader = self.call(MOUNT, 3, 1, &Xdr::new().opaque(path.as_bytes()));
        assert_eq!(reader.u32(), 0, "mounting {path}");
        let handle = reader.opaque();
        assert_eq!((reader.u32(), reader.u32()), (1, 1), "AUTH_SYS alone");
        assert!(reader.is_at_end());
        handle
    }

    /// The handle and attributes of a name in a directory.
    pub fn lookup(&mut self, directory: &[u8], name: &str) -> (Vec<u8>, Option<Attributes>) {
        let (status, mut reader) = self.nfs(3, &Xdr::new().opaque(directory).opaque(name.as_bytes()));
        assert_eq!(status, 0, "LOOKUP of {name}");
        (reader.opaque(), reader.optional_attributes())
    }

    pub fn getattr(&mut self, handle: &[u8]) -> Attributes {
        let (status, mut reader) = self.nfs(1, &Xdr::new().opaque(handle));
        assert_eq!(status, 0, "GETATTR");
        let attributes = reader.attributes();
        assert!(reader.is_at_end());
        attributes
    }

    /// READ: data and eof.
    pub fn read(&mut self, handle: &[u8], offset: u64, count: u32) -> (Vec<u8>, bool) {
        let (status, mut reader) = self.nfs(6, &Xdr::new().opaque(handle).u64(offset).u32(count));
        assert_eq!(status, 0, "READ");
        assert!(reader.optional_attributes().is_some());
        let (count, eof) = (reader.u32(), reader.u32() == 1);
        let data = reader.opaque();
        assert_eq!(count as usize, data.len());
        assert!(reader.is_at_end());
        (data, eof)
    }

    pub fn page(&mut self, directory: &[u8], cookie: u64, is_plus: bool, count: u32) -> Result<Page, u32> {
        let arguments = Xdr::new().opaque(directory).u64(cookie).raw(&[0; 8]);
        let arguments = if is_plus { arguments.u32(count).u32(count) } else { arguments.u32(count) };
        let (status, mut reader) = self.nfs(if is_plus { 17 } else { 16 }, &arguments);
        if status != 0 {
            return Err(status);
        }
        let bytes = reader.len() - 28; // XID, head and status
        assert!(reader.optional_attributes().is_some());
        assert_eq!(reader.fixed(8), b"raptorg3");
        let mut entries = Vec::new();
        while reader.u32() == 1 {
            let (file_id, name, cookie) = (reader.u64(), reader.text(), reader.u64());
            let (attributes, handle) = match is_plus {
                true => (reader.optional_attributes(), (reader.u32() == 1).then(|| reader.opaque())),
                false => (None, None),
            };
            entries.push(Entry { file_id, name, cookie, attributes, handle });
        }
        let eof = reader.u32() == 1;
        assert!(reader.is_at_end());
        Ok(Page { entries, eof, bytes })
    }

    /// A whole directory from `cookie` on, in pages.
    pub fn list(&mut self, directory: &[u8], mut cookie: u64, is_plus: bool, count: u32) -> Vec<Entry> {
        let mut all = Vec::new();
        loop {
            let page = self.page(directory, cookie, is_plus, count).expect("a page");
            assert!(!page.entries.is_empty() || page.eof);
            cookie = page.entries.last().map_or(cookie, |entry| entry.cookie);
            all.extend(page.entries);
            if page.eof {
                return all;
            }
        }
    }
}

#[derive(Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub eof: bool,
    /// Bytes of results without the status.
    pub bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub file_id: u64,
    pub name: String,
    pub cookie: u64,
    pub attributes: Option<Attributes>,
    pub handle: Option<Vec<u8>>,
}

pub fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

/// The results of an accepted, successful call.
pub fn results(mut reader: Reader) -> Reader {
    let head: Vec<u32> = (0..5).map(|_| reader.u32()).collect();
    assert_eq!(head, [1, 0, 0, 0, 0], "accepted, no verifier, success");
    reader
}

/// One call in a datagram.
pub fn datagram(address: SocketAddr, program: u32, version: u32, procedure: u32, arguments: &Xdr) -> Reader {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let credential = Xdr::new().u32(7).opaque(b"tester").u32(0).u32(0).u32(0);
    let head = Xdr::new().u32(9).u32(0).u32(2).u32(program).u32(version).u32(procedure);
    let message = head.u32(1).opaque(&credential.0).u32(0).u32(0).raw(&arguments.0);
    socket.send_to(&message.0, address).unwrap();
    let mut buffer = vec![0; 65_536];
    let (length, _) = socket.recv_from(&mut buffer).expect("a reply");
    buffer.truncate(length);
    let mut reader = Reader::new(buffer);
    assert_eq!(reader.u32(), 9);
    results(reader)
}
