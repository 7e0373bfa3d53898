//! One connection: TLS where there is a certificate, then HTTP/1.1 or HTTP/2, with bounds on what a client may leave undone.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use access::TlsIdentity;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Response};
use http_body::Body as _;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsAcceptor;

use crate::body::Body;
use crate::config::Config;
use crate::server::ended;
use crate::service::{Addresses, Connection, Service};
use crate::stall::Stalling;
use crate::streams::{State, Streams};

/// Buffers of a connection: a header must fit.
const BUFFER: usize = 64 * 1024;
/// Headers of a request.
const HEADERS: usize = 64;
/// Requests under way on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// Bytes of one answer that wait for an HTTP/2 client.
const SEND_BUFFER: usize = 1 << 20;
/// An HTTP/2 client that says nothing is asked after this whether it is there, and has so long for its answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves a connection without TLS.
pub(crate) async fn serve_plain(
    service: Arc<Service>,
    stream: TcpStream,
    addresses: Addresses,
    stopped: watch::Receiver<bool>,
) {
    serve(service, stream, Connection::new(Some(addresses), false), stopped).await;
}

/// Serves a connection that has to begin with a TLS handshake.
pub(crate) async fn serve_protected(
    service: Arc<Service>,
    stream: TcpStream,
    addresses: Addresses,
    identity: &Arc<TlsIdentity>,
    mut stopped: watch::Receiver<bool>,
) {
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE, shake_hands(stream, identity)) => shaken,
        () = ended(&mut stopped) => return,
    };
    let stream = match shaken {
        Ok(Ok(Some(stream))) => stream,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(%error, peer = %addresses.peer, "TLS handshake refused"),
        Err(_) => return tracing::debug!(peer = %addresses.peer, "the TLS handshake was not finished in time"),
    };
    let connection = Connection::new(Some(addresses), true);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(service, stream, connection, stopped).await;
    } else {
        serve(service, stream, connection, stopped).await;
    }
}

type Protected = tokio_rustls::server::TlsStream<TcpStream>;

/// `None`: the client spoke plain HTTP, and was told so.
async fn shake_hands(mut stream: TcpStream, identity: &Arc<TlsIdentity>) -> io::Result<Option<Protected>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
        const TOLD: &[u8] =
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
            Content-Length: 48\r\n\r\nthis address speaks TLS: https:// is to be used\n";
        stream.write_all(TOLD).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    TlsAcceptor::from(identity.current().await).accept(stream).await.map(Some)
}

/// Serves HTTP/1.1.
pub(crate) async fn serve<S>(
    service: Arc<Service>,
    stream: S,
    connection: Connection,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Stalling::new(stream, service.config.write_timeout);
    let (settings, connection) = (service.config.clone(), Arc::new(connection));
    let answer = service_fn(move |request| {
        let (service, connection) = (service.clone(), connection.clone());
        async move { Ok::<_, Infallible>(service.answer(request, &connection).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .half_close(false)
        .keep_alive(true);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = ended(&mut stopped) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Serves HTTP/2. Flow control hides a client that reads nothing from the socket, so the streams are watched, and so is idleness.
async fn serve_http2<S>(service: Arc<Service>, stream: S, connection: Connection, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Stalling::new(stream, service.config.write_timeout);
    let (settings, connection, streams) = (service.config.clone(), Arc::new(connection), Arc::new(Streams::new()));
    let answer = {
        let streams = streams.clone();
        service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (service, connection, stream) = (service.clone(), connection.clone(), streams.begin());
            async move {
                let is_head = request.method() == Method::HEAD;
                let response = service.answer(request, &connection).await;
                let response = if is_head { without_body(response) } else { response };
                Ok::<_, Infallible>(response.map(|body| stream.watch(body)))
            }
        })
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(BUFFER as u32)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let mut looks = interval(pause(&settings));
    // From the end of the service, or of a client's business, on.
    let mut ending: Option<Instant> = None;
    let result = loop {
        tokio::select! {
            result = served.as_mut() => break result,
            () = ended(&mut stopped), if ending.is_none() => {
                served.as_mut().graceful_shutdown();
                ending = Some(Instant::now());
            }
            now = looks.tick() => match streams.state(now) {
                State::Stalled(since) if since >= settings.write_timeout => {
                    return tracing::debug!("an HTTP/2 client does not read its answer");
                }
                State::Idle(since) if since >= settings.header_timeout => match ending {
                    None => {
                        served.as_mut().graceful_shutdown();
                        ending = Some(now);
                    }
                    Some(since) if now - since >= settings.header_timeout => return,
                    Some(_) => {}
                },
                _ => {}
            },
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How often an HTTP/2 connection is looked at.
fn pause(settings: &Config) -> Duration {
    (settings.header_timeout.min(settings.write_timeout) / 4).max(Duration::from_millis(50))
}

/// hyper sends the body of whatever is answered over HTTP/2, to HEAD as well.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact()
        && !response.headers().contains_key(CONTENT_LENGTH)
    {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}
