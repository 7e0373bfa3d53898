//! From a request to the room that answers it: guards first, then the path, then the method.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, EXPECT, HOST, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use vfs::{Found, NodeKind, Vfs};

use crate::body::Body;
use crate::browser::{self, Pages};
use crate::config::Config;
use crate::content::conditional::Conditional;
use crate::exchange::{Audience, Exchange};
use crate::guard::{self, Authenticator, Verdict};
use crate::opening::Openings;
use crate::path::RequestPath;
use crate::refusal::{Answer, Refusal};
use crate::seats::{self, Arrival, Seat};
use crate::{api, content, fake_lock, noise, options, propfind, xml};

/// Time in which a request's body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a body that is refused and read all the same.
const MAX_UNWANTED: usize = 64 * 1024;
/// Bytes of a form: a page has a thousand rows that can be picked.
const FORM: usize = 128 * 1024;
/// The first segment of what belongs to the gateway itself.
pub(crate) const OWN: &str = "-";

/// Everything that answers requests.
pub(crate) struct Service {
    pub vfs: Vfs,
    pub config: Arc<Config>,
    pub pages: Pages,
    authenticator: Option<Authenticator>,
    conditional: Conditional,
    openings: Openings,
}

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Its addresses; `None` for the control socket, whose peer was checked when it connected.
    pub addresses: Option<Addresses>,
    /// It goes through TLS.
    pub secure: bool,
    proved: AtomicBool,
}

/// The two ends of a TCP connection, and its place among all.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// The client.
    pub peer: IpAddr,
    /// Us.
    pub local: IpAddr,
    /// Where it is noted that it waits for an answer.
    pub seat: Arc<Seat>,
}

impl Connection {
    /// A new connection.
    pub(crate) fn new(addresses: Option<Addresses>, secure: bool) -> Connection {
        Connection { addresses, secure, proved: AtomicBool::new(false) }
    }
}

impl Service {
    /// A service over this model.
    pub(crate) fn new(vfs: Vfs, config: Config) -> Service {
        Service {
            authenticator: config.credentials.as_ref().map(Authenticator::new),
            conditional: Conditional::new(vfs.clone()),
            openings: Openings::default(),
            pages: Pages::new(),
            config: Arc::new(config),
            vfs,
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        // HTTP/2 names the host elsewhere; for all that follows it is the same.
        if !head.headers.contains_key(HOST)
            && let Some(host) = head.uri.authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok())
        {
            head.headers.insert(HOST, host);
        }
        let (path, malformed) = match RequestPath::parse(head.uri.path()) {
            Ok(path) => (path, None),
            Err(_) if head.method == Method::OPTIONS && head.uri.path() == "*" => (RequestPath::default(), None),
            Err(error) => (RequestPath::default(), Some(error)),
        };
        let peer = connection.addresses.as_ref().map(|addresses| addresses.peer);
        let way = (connection.addresses.is_none(), connection.secure);
        let exchange = Exchange::new(head, path, peer, way, self.config.clone());
        // Of who may not ask it is not noted that he asked.
        let mut answering = None;
        let answer = match self.guard(&exchange, connection) {
            Err(response) => Ok(*response),
            Ok(()) => match (malformed, &connection.addresses) {
                (Some(error), _) => Err(error.into()),
                (None, Some(addresses)) => {
                    let has_body = !http_body::Body::is_end_stream(&body);
                    let (answer, call) = Arrival::of(&addresses.seat, has_body, self.dispatch(&exchange, body)).await;
                    answering = call;
                    answer
                }
                (None, None) => self.dispatch(&exchange, body).await,
            },
        };
        let response = answer.unwrap_or_else(|refusal| refusal.into_response(&exchange));
        let response = response.map(|body| body.of_call(answering));
        tracing::debug!(
            method = %exchange.method(),
            path = %exchange.path,
            client = ?exchange.class,
            peer = ?exchange.peer,
            status = response.status().as_u16(),
            elapsed = ?exchange.started().elapsed(),
            "request"
        );
        response
    }

    /// Host, credentials, and the site that caused the request (D3).
    fn guard(&self, exchange: &Exchange, connection: &Connection) -> Result<(), Box<Response<Body>>> {
        let refuse = |refusal: Refusal| Box::new(refusal.into_response(exchange));
        let Some(addresses) = &connection.addresses else { return Ok(()) };
        let host = exchange.header(&HOST);
        let is_one = exchange.headers().get_all(HOST).iter().nth(1).is_none();
        // A request may name its host twice, if it names the same one.
        let is_same = exchange.head.uri.authority().is_none_or(|authority| Some(authority.as_str()) == host);
        let is_ours = host.is_some_and(|host| guard::host_is_allowed(host, Some(addresses.local), &self.config.hosts));
        if !is_one || !is_same || !is_ours {
            let message = "this gateway is not known under that host name; use the address it printed, or add the name to its configuration";
            return Err(refuse(Refusal::new(StatusCode::MISDIRECTED_REQUEST, message)));
        }
        if let Some(authenticator) = &self.authenticator {
            let header = exchange.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
            match authenticator.check(header, addresses.peer, connection.proved.load(Ordering::Relaxed)) {
                Verdict::Accepted => connection.proved.store(true, Ordering::Relaxed),
                Verdict::Refused => {
                    let mut response = refuse(Refusal::new(
                        StatusCode::UNAUTHORIZED,
                        "user name and password are needed; the gateway prints them inside the mount commands",
                    ));
                    let challenge = HeaderValue::from_static(r#"Basic realm="raptorgate", charset="UTF-8""#);
                    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                    return Err(response);
                }
                Verdict::TooMany => {
                    let mut response = refuse(Refusal::new(
                        StatusCode::TOO_MANY_REQUESTS,
                        "too many wrong passwords came from this address; wait a minute",
                    ));
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
                    return Err(response);
                }
            }
        }
        // The style sheet is the gateway's own and starts nothing.
        guard::refuse_foreign_sites(exchange.headers()).map_err(refuse)
    }

    async fn dispatch(&self, exchange: &Exchange, body: Incoming) -> Answer {
        let method = exchange.method();
        if method == Method::OPTIONS {
            return Ok(options::answer());
        }
        if exchange.path.segments().first().is_some_and(|first| first == OWN) {
            return Box::pin(api::answer(self, exchange, body)).await;
        }
        // Boxed: a connection has the room of its largest request for as long as it lives, also one that only dribbles a body.
        match method.as_str() {
            "GET" | "HEAD" => Box::pin(self.get(exchange)).await,
            "POST" => Box::pin(self.post(exchange, body)).await,
            "PROPFIND" => {
                let body = read_body(body, xml::MAX_BYTES).await?;
                Box::pin(propfind::answer(&self.vfs, exchange, &body)).await
            }
            "LOCK" | "UNLOCK" => {
                let body = read_body(body, xml::MAX_BYTES).await?;
                Box::pin(fake_lock::lock(&self.vfs, &self.conditional, exchange, body)).await
            }
            "PROPPATCH" => {
                let body = read_body(body, xml::MAX_BYTES).await?;
                Box::pin(fake_lock::proppatch(&self.vfs, exchange, &body)).await
            }
            "PUT" | "DELETE" | "MKCOL" | "MOVE" | "COPY" | "PATCH" => {
                // A body that is left unread would cost the connection. Who waits for `100 Continue` has not sent it.
                if !exchange.headers().contains_key(EXPECT) {
                    let _unwanted = read_body(body, MAX_UNWANTED).await;
                }
                Err(Refusal::forbidden(fake_lock::READ_ONLY))
            }
            _ => Err(Refusal {
                allow: Some(options::ALLOWED),
                ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not served")
            }),
        }
    }

    async fn get(&self, exchange: &Exchange) -> Answer {
        if propfind::is_marker(exchange) || noise::is_macos_marker(exchange) {
            return Ok(content::empty_file(exchange));
        }
        if Box::pin(noise::is_noise(&self.vfs, exchange)).await {
            return Err(Refusal::absent(
                "not there: the directory is not listed, and this name is only a probe of the client",
            ));
        }
        let found = self.resolve(exchange).await?;
        if found.node.kind == NodeKind::Directory {
            return Box::pin(browser::directory(self, exchange, found)).await;
        }
        let is_page = exchange.audience() == Audience::Browser && exchange.method() == Method::GET;
        if is_page && (exchange.asks("info") || !found.attributes.collected && found.node.kind == NodeKind::File) {
            return Box::pin(browser::file(self, exchange, found)).await;
        }
        // Never by `Accept`: many clients accept JSON without wanting anything but the file.
        if exchange.asks("json") {
            return Box::pin(api::provenance_of(self, exchange, &found)).await;
        }
        let packed = exchange.query("as") == Some("zip");
        if exchange.method() == Method::GET {
            self.openings.judge(&self.vfs, exchange, &found, packed).await?;
        }
        if packed {
            return content::zipped(&self.vfs, exchange, found).await;
        }
        content::answer(&self.vfs, &self.conditional, exchange, found).await
    }

    /// The buttons of the pages.
    async fn post(&self, exchange: &Exchange, body: Incoming) -> Answer {
        guard::refuse_foreign_posts(exchange.headers())?;
        let body = read_body(body, FORM).await?;
        let found = self.resolve(exchange).await?;
        browser::pressed(self, exchange, found, &body).await
    }

    /// A final slash makes a browser follow a link; for every other client a link is a file.
    async fn resolve(&self, exchange: &Exchange) -> Result<Found, Refusal> {
        let follow = exchange.path.has_final_slash() && exchange.audience() == Audience::Browser;
        let found = self.vfs.resolve(&exchange.path.names(), follow, &exchange.call()).await;
        found.map_err(|error| Refusal::from_error(&error, exchange.class))
    }
}

/// A whole request body of at most `limit` bytes.
pub(crate) async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let too_large =
        || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request body may have at most {limit} bytes"));
    if http_body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => {
            seats::arrived();
            Ok(collected.to_bytes())
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::bad_request("the request body could not be read")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time")),
    }
}

/// Marks an answer that must not be kept.
pub(crate) fn uncached(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
