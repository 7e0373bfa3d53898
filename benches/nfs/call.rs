//! The calls, as RFC 5531 and RFC 1813 have them, without any waste: what is measured is the server.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;

/// NFS3ERR_JUKEBOX.
const LATER: u32 = 10_008;
pub const NFS: u32 = 100_003;
const MOUNT: u32 = 100_005;

/// A file handle.
#[derive(Clone, Debug)]
pub struct Handle(pub Vec<u8>);

/// A page of a directory.
#[derive(Default)]
pub struct Page {
    pub entries: u64,
    pub cookie: u64,
    /// One of its names.
    pub name: String,
    pub is_last: bool,
}

/// An answer, or the server's wish to be asked again.
pub enum Reply<T> {
    Done(T),
    Later,
}

/// A connection to one RPC service.
pub struct Connection {
    /// Large enough that the client's system calls are not what is measured.
    pub stream: BufReader<TcpStream>,
    xid: u32,
    scratch: Vec<u8>,
    /// The cookie verifier of the last page.
    verifier: [u8; 8],
}

impl Connection {
    pub fn open(host: &str, port: u16) -> io::Result<Connection> {
        let stream = TcpStream::connect((host, port))?;
        stream.set_nodelay(true)?;
        let stream = BufReader::with_capacity(1 << 20, stream);
        Ok(Connection { stream, xid: 1, scratch: Vec::new(), verifier: [0; 8] })
    }

    /// MNT (RFC 1813 §5.2.1).
    pub fn mount(&mut self, export: &str) -> io::Result<Handle> {
        let mut arguments = Vec::new();
        put_opaque(&mut arguments, export.as_bytes());
        let mut reply = self.call(MOUNT, 1, &arguments)?;
        match reply.number()? {
            0 => reply.opaque().map(Handle),
            status => Err(refused("MNT", status)),
        }
    }

    /// LOOKUP (§3.3.3).
    pub fn lookup(&mut self, directory: &Handle, name: &str) -> io::Result<Reply<Handle>> {
        let mut arguments = Vec::new();
        put_opaque(&mut arguments, &directory.0);
        put_opaque(&mut arguments, name.as_bytes());
        let mut reply = self.call(NFS, 3, &arguments)?;
        match reply.number()? {
            0 => reply.opaque().map(|handle| Reply::Done(Handle(handle))),
            LATER => Ok(Reply::Later),
            status => Err(refused("LOOKUP", status)),
        }
    }

    /// The size that GETATTR tells (§3.3.1).
    pub fn size(&mut self, file: &Handle) -> io::Result<Reply<u64>> {
        let mut arguments = Vec::new();
        put_opaque(&mut arguments, &file.0);
        let mut reply = self.call(NFS, 1, &arguments)?;
        match reply.number()? {
            0 => {
                reply.skip(5 * 4)?;
                Ok(Reply::Done((u64::from(reply.number()?) << 32) | u64::from(reply.number()?)))
            }
            LATER => Ok(Reply::Later),
            status => Err(refused("GETATTR", status)),
        }
    }

    /// READ (§3.3.6); the bytes are counted only.
    pub fn read(&mut self, file: &Handle, offset: u64, count: u32) -> io::Result<Reply<u32>> {
        self.send_read(file, offset, count)?;
        let mut reply = self.reply()?;
        match reply.number()? {
            0 => {
                reply.attributes()?;
                Ok(Reply::Done(reply.number()?))
            }
            LATER => Ok(Reply::Later),
            status => Err(refused("READ", status)),
        }
    }

    /// READDIRPLUS (§3.3.17): entries are counted, and one name is kept.
    pub fn read_directory(&mut self, directory: &Handle, cookie: u64, bytes: u32) -> io::Result<Reply<Page>> {
        let mut arguments = Vec::new();
        put_opaque(&mut arguments, &directory.0);
        arguments.extend_from_slice(&cookie.to_be_bytes());
        arguments.extend_from_slice(&self.verifier);
        arguments.extend_from_slice(&bytes.to_be_bytes());
        arguments.extend_from_slice(&bytes.to_be_bytes());
        let mut reply = self.call(NFS, 17, &arguments)?;
        match reply.number()? {
            0 => {}
            LATER => return Ok(Reply::Later),
            status => return Err(refused("READDIRPLUS", status)),
        }
        reply.attributes()?;
        let verifier = reply.take(8)?.try_into().expect("eight bytes");
        let mut page = Page { cookie, ..Page::default() };
        while reply.number()? == 1 {
            reply.skip(8)?;
            let length = reply.number()? as usize;
            let name = reply.take(length.next_multiple_of(4))?;
            if page.name.is_empty() && name.first() != Some(&b'.') {
                page.name = String::from_utf8_lossy(&name[..length]).into_owned();
            }
            page.cookie = (u64::from(reply.number()?) << 32) | u64::from(reply.number()?);
            reply.attributes()?;
            if reply.number()? == 1 {
                let length = reply.number()? as usize;
                reply.skip(length.next_multiple_of(4))?;
            }
            page.entries += 1;
        }
        page.is_last = reply.number()? == 1;
        self.verifier = verifier;
        Ok(Reply::Done(page))
    }

    /// Sends a READ without waiting.
    pub fn send_read(&mut self, file: &Handle, offset: u64, count: u32) -> io::Result<()> {
        let mut arguments = Vec::new();
        put_opaque(&mut arguments, &file.0);
        arguments.extend_from_slice(&offset.to_be_bytes());
        arguments.extend_from_slice(&count.to_be_bytes());
        self.send(NFS, 6, &arguments)
    }

    /// Takes the answer to a READ: how many bytes it had.
    pub fn skip_read(&mut self) -> io::Result<u32> {
        let mut reply = self.reply()?;
        match reply.number()? {
            0 => {
                reply.attributes()?;
                reply.number()
            }
            status => Err(refused("READ", status)),
        }
    }

    /// Takes an answer whose first word must be NFS3_OK.
    pub fn skip_good_reply(&mut self) -> io::Result<()> {
        match self.reply()?.number()? {
            0 => Ok(()),
            status => Err(refused("a call of a batch", status)),
        }
    }

    fn call(&mut self, program: u32, procedure: u32, arguments: &[u8]) -> io::Result<Results<'_>> {
        self.send(program, procedure, arguments)?;
        self.reply()
    }

    fn send(&mut self, program: u32, procedure: u32, arguments: &[u8]) -> io::Result<()> {
        self.xid += 1;
        let message = message(self.xid, program, procedure, arguments);
        self.stream.get_mut().write_all(&message)
    }

    /// The results of the next reply, which must be an accepted and successful one.
    fn reply(&mut self) -> io::Result<Results<'_>> {
        self.scratch.clear();
        loop {
            let mut mark = [0; 4];
            self.stream.read_exact(&mut mark)?;
            let mark = u32::from_be_bytes(mark);
            let from = self.scratch.len();
            self.scratch.resize(from + (mark & 0x7fff_ffff) as usize, 0);
            self.stream.read_exact(&mut self.scratch[from..])?;
            if mark >> 31 == 1 {
                break;
            }
        }
        let mut results = Results(&self.scratch);
        results.skip(4)?;
        let (kind, reply) = (results.number()?, results.number()?);
        results.skip(4)?;
        results.opaque()?;
        let accepted = results.number()?;
        if (kind, reply, accepted) == (1, 0, 0) { Ok(results) } else { Err(refused("RPC", accepted)) }
    }
}

/// Many equal calls in one buffer; only their xids change.
pub struct Batch {
    calls: Vec<u8>,
    length: usize,
    xid: u32,
}

impl Batch {
    /// GETATTR (§3.3.1).
    pub fn get_attributes(file: &Handle, count: u32) -> Batch {
        Batch::of(1, file, &[], count)
    }

    /// LOOKUP (§3.3.3).
    pub fn lookup(directory: &Handle, name: &str, count: u32) -> Batch {
        let mut arguments = Vec::new();
        put_opaque(&mut arguments, name.as_bytes());
        Batch::of(3, directory, &arguments, count)
    }

    /// ACCESS (§3.3.4), all of it.
    pub fn access(file: &Handle, count: u32) -> Batch {
        Batch::of(4, file, &0x3f_u32.to_be_bytes(), count)
    }

    fn of(procedure: u32, handle: &Handle, further: &[u8], count: u32) -> Batch {
        let mut arguments = Vec::new();
        put_opaque(&mut arguments, &handle.0);
        arguments.extend_from_slice(further);
        let call = message(0, NFS, procedure, &arguments);
        Batch { calls: call.repeat(count as usize), length: call.len(), xid: 1 << 24 }
    }

    pub fn next(&mut self) -> &[u8] {
        for call in self.calls.chunks_exact_mut(self.length) {
            self.xid = self.xid.wrapping_add(1);
            call[4..8].copy_from_slice(&self.xid.to_be_bytes());
        }
        &self.calls
    }
}

/// A call with AUTH_SYS of root, in one record.
pub fn message(xid: u32, program: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let words = [xid, 0, 2, program, 3, procedure, 1, 20, 1, 0, 0, 0, 0, 0, 0];
    let length = u32::try_from(words.len() * 4 + arguments.len()).expect("a short call");
    let mut message = (length | 1 << 31).to_be_bytes().to_vec();
    message.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    message.extend_from_slice(arguments);
    message
}

pub fn put_opaque(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).expect("short").to_be_bytes());
    to.extend_from_slice(bytes);
    to.resize(to.len().next_multiple_of(4), 0);
}

fn refused(what: &str, status: u32) -> io::Error {
    io::Error::other(format!("{what}: status {status}"))
}

/// What is left of a reply.
struct Results<'a>(&'a [u8]);

impl Results<'_> {
    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> io::Result<()> {
        self.take(length).map(|_| ())
    }

    fn number(&mut self) -> io::Result<u32> {
        self.take(4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    fn opaque(&mut self) -> io::Result<Vec<u8>> {
        let length = self.number()? as usize;
        let bytes = self.take(length)?.to_vec();
        self.skip(length.next_multiple_of(4) - length)?;
        Ok(bytes)
    }

    /// Attributes that may be absent (`post_op_attr`).
    fn attributes(&mut self) -> io::Result<()> {
        if self.number()? == 1 { self.skip(84) } else { Ok(()) }
    }
}
