//! What systemd is told of the program (sd_notify(3)): that it serves, that it is alive, that it ends. Without systemd nothing is said.

use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The one who started the program and wants to hear of it.
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
}

impl ServiceManager {
    /// As the environment says (`NOTIFY_SOCKET`).
    pub fn from_environment() -> ServiceManager {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let connected = connect(name.as_bytes());
            if let Err(error) = &connected {
                tracing::warn!(%error, "the service manager cannot be told anything");
            }
            connected.ok()
        });
        ServiceManager { socket }
    }

    /// Everything listens; `status` is what `systemctl status` shows. From now on it also hears that the program is alive, if it asked
    /// for that (`WATCHDOG_USEC`).
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
        let (Some(period), Some(socket)) = (watchdog(), &self.socket) else { return };
        let Ok(socket) = socket.try_clone() else { return };
        tokio::spawn(async move {
            // A runtime whose threads are all stuck does not come here any more.
            let mut tick = tokio::time::interval(period / 2);
            loop {
                tick.tick().await;
                let _nobody_listens = socket.send(b"WATCHDOG=1");
            }
        });
    }

    /// It ends, in order.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, words: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(words.as_bytes())
        {
            tracing::warn!(%error, "the service manager cannot be told anything");
        }
    }
}

/// `name`: a path, or `@` and a name in the abstract name space.
fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not listen must not hold anything up.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// How often the manager wants to hear that this process is alive.
fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros >= 1_000).map(Duration::from_micros)
}
