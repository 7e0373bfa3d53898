//! The control socket: the same service for the owner of this process, without a password.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::serve;
use crate::server::{ended, finish};
use crate::service::{Connection, Service};

/// Connections at the same time.
const CONNECTIONS: usize = 256;

/// A bound control socket. Its file goes away with it.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Control {
    /// Binds `path` with mode 0600. A file that a dead process left is replaced, a live one is not.
    pub(crate) async fn bind(path: &Path) -> io::Result<Control> {
        if let Ok(metadata) = std::fs::symlink_metadata(path) {
            use std::os::unix::fs::FileTypeExt;
            if !metadata.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there"));
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another gateway is listening there"));
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        // Between bind and chmod others may connect: the check of each peer is what protects.
        let owner = std::fs::symlink_metadata(path)?.uid();
        Ok(Control { listener, path: path.to_owned(), owner })
    }

    /// Serves until the end.
    pub(crate) async fn serve(self, service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = ended(&mut stopped) => break,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if self.is_owner(&stream) && connections.len() < CONNECTIONS => {
                    connections.spawn(serve(service.clone(), stream, Connection::new(None, false), stopped.clone()));
                }
                Ok(_) => tracing::warn!("a stranger was turned away from the control socket"),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the control socket could not be accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        finish(connections).await;
    }

    fn is_owner(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
