//! What TCP over loopback gives on this machine, with no server in between: the same bytes there and back, and a stream.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of a successful reply to GETATTR, its record mark included: head 24, status 4, attributes 84 (RFC 5531 §9, RFC 1813 §3.3.1).
pub const GETATTR_REPLY: usize = 4 + 24 + 4 + 84;
/// Bytes of a write of the stream, as a READ has.
const WRITE: usize = 1 << 20;

/// A connection whose other end is handled by `serve` in a thread of its own.
fn connected(serve: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static) -> io::Result<TcpStream> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    for end in [&stream, &other] {
        end.set_nodelay(true)?;
    }
    std::thread::spawn(move || serve(other));
    Ok(stream)
}

/// Answers of `reply` bytes to calls of `call` bytes per second, each awaited.
pub fn echo(call: usize, reply: usize, time: Duration) -> io::Result<f64> {
    let mut stream = connected(move |mut stream| {
        let (mut asked, answer) = (vec![0; call], vec![0; reply]);
        while stream.read_exact(&mut asked).is_ok() {
            stream.write_all(&answer)?;
        }
        Ok(())
    })?;
    let (asked, mut answer) = (vec![0; call], vec![0; reply]);
    let (started, mut answered) = (Instant::now(), 0_u64);
    while started.elapsed() < time {
        stream.write_all(&asked)?;
        stream.read_exact(&mut answer)?;
        answered += 1;
    }
    Ok(answered as f64 / started.elapsed().as_secs_f64())
}

/// Bytes per second of one stream.
pub fn stream(time: Duration) -> io::Result<f64> {
    let mut stream = connected(|mut stream| {
        let bytes = vec![7; WRITE];
        while stream.write_all(&bytes).is_ok() {}
        Ok(())
    })?;
    let (mut buffer, mut bytes) = (vec![0; WRITE], 0_u64);
    let started = Instant::now();
    while started.elapsed() < time {
        bytes += stream.read(&mut buffer)? as u64;
    }
    Ok(bytes as f64 / started.elapsed().as_secs_f64())
}
