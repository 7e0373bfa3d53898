//! What every flood needs: its pace, many addresses to come from, and the memory of the process that it is sent to.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};

/// From one of many addresses, as many machines would: one address has only so many ports, and so many connections.
pub async fn connect(to: SocketAddr, number: u32) -> io::Result<TcpStream> {
    let [low, high] = [number % 50 + 2, 1].map(|part| u8::try_from(part).expect("a byte"));
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, high, low), 0)))?;
    socket.connect(to).await
}

/// So many turns a second, numbered.
pub struct Pace {
    started: Instant,
    rate: u32,
    turn: u32,
}

impl Pace {
    pub fn new(rate: u32) -> Pace {
        Pace { started: Instant::now(), rate, turn: 0 }
    }

    pub async fn next(&mut self) -> u32 {
        let turn = self.turn;
        self.turn += 1;
        let due = self.started + Duration::from_secs_f64(f64::from(turn) / f64::from(self.rate));
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        turn
    }
}

/// The memory of a process.
pub struct Memory(pub u32);

impl Memory {
    pub fn rss_kib(&self) -> u64 {
        self.field("VmRSS:")
    }

    /// The largest RSS since [`Memory::forget_peak`].
    pub fn peak_kib(&self) -> u64 {
        self.field("VmHWM:")
    }

    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.0), b"5").expect("resetting the peak");
    }

    fn field(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a process of Linux");
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}
