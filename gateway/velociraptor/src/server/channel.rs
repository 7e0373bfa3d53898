//! The gRPC channel: mutual TLS over TCP or a local socket (docs/velociraptor-api.md §1.2 to §1.4).

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::{Address, ApiConfig};

/// The server drops clients that ping more often than every five minutes (§1.4).
const HTTP2_PING: Duration = Duration::from_secs(360);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// A channel that connects when it is first used, and again whenever the connection broke.
pub(super) fn channel(config: &ApiConfig) -> Result<Channel, String> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&config.ca_certificate))
        .identity(Identity::from_pem(&config.client_cert, &config.client_private_key))
        .domain_name(config.server_name())
        .timeout(CONNECT_TIMEOUT);
    let address = config.address()?;
    let uri = match &address {
        Address::Tcp(host_and_port) => format!("https://{host_and_port}"),
        Address::Unix(_) => format!("https://{}", config.server_name()),
    };
    let endpoint = Endpoint::from_shared(uri)
        .and_then(|endpoint| endpoint.tls_config(tls))
        .map_err(|error| format!("the certificates cannot be used: {}", words(&error)))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .tcp_keepalive_interval(Some(Duration::from_secs(10)))
        .tcp_keepalive_retries(Some(3))
        .http2_keep_alive_interval(HTTP2_PING)
        .keep_alive_while_idle(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    Ok(match address {
        Address::Tcp(_) => endpoint.connect_lazy(),
        Address::Unix(path) => endpoint.connect_with_connector_lazy(UnixConnector { path }),
    })
}

fn words(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Connects to a socket of this machine; TLS comes on top, as everywhere (§1.3).
#[derive(Clone)]
struct UnixConnector {
    path: PathBuf,
}

#[cfg(unix)]
type Socket = tokio::net::UnixStream;
#[cfg(not(unix))]
type Socket = tokio::net::TcpStream;

impl Service<Uri> for UnixConnector {
    type Response = TokioIo<Socket>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let path = self.path.clone();
        Box::pin(async move { connect(path).await.map(TokioIo::new) })
    }
}

#[cfg(unix)]
async fn connect(path: PathBuf) -> std::io::Result<Socket> {
    Socket::connect(path).await
}

#[cfg(not(unix))]
async fn connect(_path: PathBuf) -> std::io::Result<Socket> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "local sockets need a Unix system"))
}
