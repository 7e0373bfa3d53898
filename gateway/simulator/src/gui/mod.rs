//! The GUI's HTTP API beside the gRPC one: the same calls in JSON, with everything that stands in front of them
//! (`docs/velociraptor-api.md` §10): logins, tokens against forged requests, a base path, pages instead of answers.

mod download;
mod forgery;
mod json;
mod login;
mod orgs;
mod route;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status};

use crate::disk;
use crate::error::Error;
use crate::identity::certificates::Authority;
use crate::service::Service;
use crate::service::listener::{self, Connection, Connections, Peer};

/// What the GUI's port is like.
#[derive(Clone, Debug)]
pub struct GuiConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `GUI.base_path`: empty, or with a slash in front and none at the end.
    pub base_path: String,
    /// How users prove who they are.
    pub login: GuiLogin,
}

/// How users of the GUI prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuiLogin {
    /// By password.
    Basic,
    /// By a certificate of the deployment's CA.
    Certificates,
    /// Elsewhere, with a browser.
    SingleSignOn,
}

/// A listening GUI.
pub(crate) struct Gui {
    service: Service,
    config: GuiConfig,
    address: SocketAddr,
    passwords: Mutex<BTreeMap<String, String>>,
    password_file: PathBuf,
    /// Users without rights in the root organisation, and where they have some.
    switched: Mutex<BTreeMap<String, String>>,
    forgery: forgery::Guard,
    mapping: json::Mapping,
}

type Answer = Response<Full<Bytes>>;

/// Bodies of requests are not longer.
const MAX_BODY: usize = 4 << 20;

impl Gui {
    /// Listens and serves until the tasks are shut down. The user `name` has a fresh password, in a file of the folder.
    pub(crate) async fn start(
        config: GuiConfig,
        name: &str,
        folder: &Path,
        service: Service,
        authority: &Authority,
        connections: Connections,
        tasks: &mut JoinSet<()>,
    ) -> Result<Arc<Self>, Error> {
        let cannot_listen = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let tls = authority.gui_config(config.login == GuiLogin::Certificates)?;
        let password_file = folder.join("gui-password");
        let password = password()?;
        disk::replace_secret(&password_file, format!("{password}\n").as_bytes())?;
        let seed = u64::from(address.port()) ^ service.deployment.clock.micros();
        let gui = Arc::new(Self {
            service,
            config,
            address,
            passwords: Mutex::new(BTreeMap::from([(name.to_string(), password)])),
            password_file,
            switched: Mutex::default(),
            forgery: forgery::Guard::new(seed),
            mapping: json::Mapping::new()?,
        });
        let mut accepted = listener::accept(listener, TlsAcceptor::from(Arc::new(tls)), connections, tasks);
        let serving = Arc::clone(&gui);
        tasks.spawn(async move {
            while let Some(connection) = accepted.recv().await {
                if let Ok(connection) = connection {
                    tokio::spawn(Arc::clone(&serving).converse(connection));
                }
            }
        });
        Ok(gui)
    }

    /// What a browser would be given.
    pub(crate) fn url(&self) -> String {
        format!("https://{}{}/", self.address, self.config.base_path)
    }

    /// Where the first user's password is.
    pub(crate) fn password_file(&self) -> &Path {
        &self.password_file
    }

    /// Gives a user a password. It is not kept over a restart.
    pub(crate) fn set_password(&self, user: &str, password: &str) {
        self.passwords.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_string(), password.to_string());
    }

    /// From now on the user has rights only in this organisation.
    pub(crate) fn switch_org(&self, user: &str, org: &str) {
        self.switched.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_string(), org.to_string());
    }

    /// Makes all tokens of before invalid.
    pub(crate) fn forget_tokens(&self) {
        self.forgery.forget();
    }

    async fn converse(self: Arc<Self>, connection: Connection) {
        let peer = connection.peer().clone();
        let service = service_fn(move |request| {
            let (gui, peer) = (Arc::clone(&self), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(gui.answer(request, &peer).await) }
        });
        let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service);
        if let Err(error) = served.await {
            tracing::debug!(%error, "a connection to the GUI broke");
        }
    }

    /// The layers in the server's order: path, forgery, login, rights, call.
    async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Answer {
        let prefix = format!("{}/api/v1/", self.config.base_path);
        let Some(path) = request.uri().path().strip_prefix(&prefix).map(str::to_owned) else {
            return self.elsewhere();
        };
        let host = self.address.to_string();
        if request.method() != Method::GET
            && let Err(words) =
                self.forgery.check(request.headers(), &[&host, &format!("localhost:{}", self.address.port())])
        {
            return self.forgery.sign(plain(StatusCode::FORBIDDEN, &format!("Forbidden - {words}\n")), None);
        }
        let cookie = forgery::cookie(request.headers());
        let answer = match self.caller(request.headers(), peer) {
            Ok(name) => self.call(&path, &name, request).await,
            Err(refusal) => *refusal,
        };
        self.forgery.sign(answer, cookie)
    }

    async fn call(&self, path: &str, user: &str, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let switched = self.switched.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned();
        if let Some(org) = switched {
            let own = route::Input::Query("");
            return orgs::answer(
                &org,
                path,
                route::call(&self.service, &self.mapping, user, "GetUserUITraits", own).await,
            );
        }
        if path == "DownloadVFSFile" {
            return self.download(user, query).await;
        }
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return plain(StatusCode::BAD_REQUEST, "http: request body too large");
        };
        let input = match parts.method {
            Method::GET => route::Input::Query(query),
            Method::POST => route::Input::Body(&body.to_bytes()),
            _ => return plain(StatusCode::NOT_IMPLEMENTED, "Method Not Allowed"),
        };
        match route::call(&self.service, &self.mapping, user, path, input).await {
            Ok(body) => route::answer(body),
            Err(status) => refusal(&status),
        }
    }

    /// Outside of the API: without a base path everything leads to the start page.
    fn elsewhere(&self) -> Answer {
        if !self.config.base_path.is_empty() {
            return plain(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        let mut answer = page(StatusCode::TEMPORARY_REDIRECT, "<a href=\"/app/index.html\">Temporary Redirect</a>.\n");
        answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/app/index.html"));
        answer
    }
}

/// 128 bits that nobody can guess.
fn password() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| Error::Certificate("there is no randomness".to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A refusal of the API: the text, under the HTTP status of the gRPC code.
fn refusal(status: &Status) -> Answer {
    let code = match status.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    plain(code, status.message())
}

fn plain(status: StatusCode, text: &str) -> Answer {
    with_type(status, text, "text/plain; charset=utf-8")
}

fn page(status: StatusCode, text: &str) -> Answer {
    with_type(status, text, "text/html; charset=utf-8")
}

fn with_type(status: StatusCode, text: &str, kind: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// The connection ends after this answer.
fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
