//! One request and its answer: who we are, the token against forged requests, deadlines and limits (docs/velociraptor-api.md §10).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, DATE, HeaderValue, REFERER, SET_COOKIE, USER_AGENT};
use hyper::http::response::Parts;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};
use vfs::Timestamp;

use super::connection::Connector;
use super::query::Query;
use super::refusal::Refusals;
use crate::gui_config::{GuiConfig, Login};
use crate::server::{CallError, CallResult};

/// The header that names the organisation.
const ORG: &str = "grpc-metadata-orgid";
/// The header in which the token comes and goes.
const TOKEN: &str = "x-csrf-token";
/// The cookie that belongs to it.
const TOKEN_COOKIE: &str = "_gorilla_csrf";
/// The longest answer that is accepted, as over gRPC.
const MAX_ANSWER: usize = 64 << 20;
/// Requests at one time: each has a connection of its own.
const MAX_AT_ONCE: usize = 32;
/// Idle connections are closed before the server does it.
const IDLE: Duration = Duration::from_secs(60);

/// All exchanges with one server.
pub(super) struct Exchange {
    client: Client<Connector, Full<Bytes>>,
    /// `https://host:port/base/api/v1/`.
    api: String,
    referer: HeaderValue,
    authorization: Option<HeaderValue>,
    token: Mutex<Option<Token>>,
    turns: Semaphore,
    refusals: Refusals,
}

/// A token and the cookie that it was made for. Both are missing if the server does not ask for them.
#[derive(Clone, Default)]
struct Token {
    value: Option<HeaderValue>,
    cookie: Option<HeaderValue>,
}

/// An answer that is no refusal.
pub(super) struct Answer {
    parts: Parts,
    /// All of it.
    pub(super) body: Bytes,
}

impl Exchange {
    pub(super) fn new(config: &GuiConfig) -> Result<Exchange, String> {
        let authorization = match &config.login {
            Login::Password { user, password } => {
                let mut value =
                    HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
                        .map_err(|error| error.to_string())?;
                value.set_sensitive(true);
                Some(value)
            }
            Login::Certificate { .. } => None,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector::new(config)?);
        let address = config.url.to_string();
        Ok(Exchange {
            client,
            referer: HeaderValue::from_str(&address).map_err(|error| error.to_string())?,
            api: format!("{}/api/v1/", address.trim_end_matches('/')),
            authorization,
            token: Mutex::new(None),
            turns: Semaphore::new(MAX_AT_ONCE),
            refusals: Refusals::new(config),
        })
    }

    /// What failures mean here.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Reads in an organisation; once more if the connection broke under it.
    pub(super) async fn get(&self, org: &str, path: &str, query: &Query, deadline: Duration) -> CallResult<Answer> {
        match self.get_once(org, path, query, deadline).await {
            Err(CallError::Unreachable(_)) => self.get_once(org, path, query, deadline).await,
            first => first,
        }
    }

    async fn get_once(&self, org: &str, path: &str, query: &Query, deadline: Duration) -> CallResult<Answer> {
        let request = self.request(Method::GET, org, &format!("{path}{query}"), Bytes::new())?;
        within(deadline, self.send(request)).await
    }

    /// Sends a message. Only a refused token, which means that nothing was done, lets it be sent again.
    pub(super) async fn post(&self, org: &str, path: &str, message: &Value, deadline: Duration) -> CallResult<Answer> {
        let body = Bytes::from(message.to_string());
        within(deadline, async {
            match self.post_once(org, path, &body, self.token(None).await?).await {
                Err((CallError::Misconfigured(_), Some(refused))) => {
                    let fresh = self.token(Some(&refused)).await?;
                    self.post_once(org, path, &body, fresh).await.map_err(|(error, _)| error)
                }
                first => first.map_err(|(error, _)| error),
            }
        })
        .await
    }

    /// The error comes with the token if it is that which was refused.
    async fn post_once(
        &self,
        org: &str,
        path: &str,
        body: &Bytes,
        token: Token,
    ) -> Result<Answer, (CallError, Option<Token>)> {
        let mut request = self.request(Method::POST, org, path, body.clone()).map_err(|error| (error, None))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &token.value {
            headers.insert(TOKEN, value.clone());
        }
        if let Some(cookie) = &token.cookie {
            headers.insert(COOKIE, cookie.clone());
        }
        let (parts, body) = self.receive(request).await.map_err(|error| (error, None))?;
        if parts.status.is_success() {
            return self.refusals.accept(&parts).map(|()| Answer { parts, body }).map_err(|error| (error, None));
        }
        let refused = self.refusals.is_forgery(&parts, &body).then_some(token);
        Err((self.refusals.judge(&parts, &body), refused))
    }

    /// The token in use; another one if it is `refused`.
    async fn token(&self, refused: Option<&Token>) -> CallResult<Token> {
        // Whoever comes meanwhile waits for the same one.
        let mut held = self.token.lock().await;
        if let Some(token) = &*held
            && refused.is_none_or(|refused| refused.value != token.value)
        {
            return Ok(token.clone());
        }
        // Without a cookie the server makes one and a token for it.
        let request = self.request(Method::GET, "root", super::WHO, Bytes::new())?;
        let answer = self.send(request).await?;
        let cookies = answer.parts.headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let pair = cookies
            .filter_map(|cookie| cookie.split(';').next())
            .find(|pair| pair.split_once('=').is_some_and(|(name, _)| name.trim() == TOKEN_COOKIE));
        let token = Token {
            value: answer.parts.headers.get(TOKEN).cloned(),
            cookie: pair.and_then(|pair| HeaderValue::from_str(pair.trim()).ok()),
        };
        *held = Some(token.clone());
        Ok(token)
    }

    fn request(&self, method: Method, org: &str, path: &str, body: Bytes) -> CallResult<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api))
            .header(ORG, org)
            .header(REFERER, &self.referer)
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, concat!("raptorgate/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| CallError::Invalid(error.to_string()))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> CallResult<Answer> {
        let (parts, body) = self.receive(request).await?;
        if parts.status.is_success() {
            self.refusals.accept(&parts)?;
            return Ok(Answer { parts, body });
        }
        Err(self.refusals.judge(&parts, &body))
    }

    /// The whole answer, whatever it says.
    async fn receive(&self, request: Request<Full<Bytes>>) -> CallResult<(Parts, Bytes)> {
        let _turn = self.turns.acquire().await.map_err(|error| CallError::Failed(error.to_string()))?;
        let answer = self.client.request(request).await.map_err(|error| self.refusals.broken(&error))?;
        let (parts, body) = answer.into_parts();
        match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(body) => Ok((parts, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(CallError::TooLong),
            Err(error) => Err(self.refusals.broken(&*error)),
        }
    }
}

impl Answer {
    /// The body, which is JSON.
    pub(super) fn json(&self) -> CallResult<&[u8]> {
        if self.kind().starts_with("application/json") {
            return Ok(&self.body);
        }
        Err(CallError::Failed(format!("it answers with `{}` instead of JSON", self.kind())))
    }

    /// The bytes of a file, and never a page that something on the way made of them.
    pub(super) fn file(self) -> CallResult<Bytes> {
        let encoded = self.parts.headers.contains_key(hyper::header::CONTENT_ENCODING);
        if !encoded && (self.kind().ends_with("/octet-stream") || self.body.is_empty()) {
            return Ok(self.body);
        }
        Err(CallError::Failed(format!("it answers with `{}` instead of a file", self.kind())))
    }

    /// When the server answered, by its own clock, to the second.
    pub(super) fn date(&self) -> Option<Timestamp> {
        let date = self.parts.headers.get(DATE)?.to_str().ok()?;
        let since = httpdate::parse_http_date(date).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Timestamp::new(i64::try_from(since.as_secs()).ok()?, 0))
    }

    fn kind(&self) -> &str {
        self.parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
    }
}

async fn within<T>(deadline: Duration, call: impl Future<Output = CallResult<T>>) -> CallResult<T> {
    tokio::time::timeout(deadline, call).await.unwrap_or(Err(CallError::TimedOut))
}
