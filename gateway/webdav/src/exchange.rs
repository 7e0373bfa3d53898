//! One request as its handlers see it: head, client, peer, and how much of the client's patience is left.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HOST, HeaderMap, HeaderName, USER_AGENT};
use http::{Method, request};
use tokio::time::Instant;
use vfs::{Call, Protocol};

use crate::client::ClientClass;
use crate::config::Config;
use crate::path::{RequestPath, decode};
use crate::service::OWN;

/// The form in which a client reads what is not evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// HTML.
    Browser,
    /// JSON, because it asked for it.
    Json,
    /// Text.
    Plain,
}

/// One request.
pub(crate) struct Exchange {
    /// Method, URI, headers.
    pub head: request::Parts,
    /// Who it seems to be.
    pub class: ClientClass,
    /// Where it comes from; `None` over the control socket.
    pub peer: Option<IpAddr>,
    /// The decoded path.
    pub path: RequestPath,
    /// Came over the control socket.
    pub local: bool,
    /// Came through TLS.
    pub secure: bool,
    config: Arc<Config>,
    started: Instant,
}

impl Exchange {
    /// A request that begins now.
    pub(crate) fn new(
        head: request::Parts,
        path: RequestPath,
        peer: Option<IpAddr>,
        (local, secure): (bool, bool),
        config: Arc<Config>,
    ) -> Exchange {
        let agent = head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let class = ClientClass::from_user_agent(agent);
        Exchange { class, head, peer, path, local, secure, config, started: Instant::now() }
    }

    /// The method.
    pub(crate) fn method(&self) -> &Method {
        &self.head.method
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// A header as text, if it is there once or more and is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// How the client addresses this gateway: scheme and host, without a final slash. Only hosts that may be served come this far.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.header(&HOST).unwrap_or("localhost"))
    }

    /// The Windows client has the kit (`deploy/clients/windows`): its drive is mapped below `/raised`, or every one here has it.
    pub(crate) fn has_raised_limits(&self) -> bool {
        self.path.is_raised() || self.config.windows_limits_raised
    }

    /// The query string has this word: `?word`, `?word=…`, `…&word`.
    pub(crate) fn asks(&self, word: &str) -> bool {
        self.query(word).is_some()
    }

    /// The value of a query parameter, as it stands in the URI; empty if it has none.
    pub(crate) fn query(&self, word: &str) -> Option<&str> {
        self.head.uri.query()?.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == word).then_some(value)
        })
    }

    /// The value of a query parameter, decoded as a form encodes it; `None` if it is not there or no text.
    pub(crate) fn query_text(&self, word: &str) -> Option<String> {
        decode(&self.query(word)?.replace('+', " "))
    }

    /// Settings.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// When it came in.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// How the answer is to be put.
    pub(crate) fn audience(&self) -> Audience {
        let accept = self.header(&ACCEPT).unwrap_or("");
        if let [own, api, ..] = self.path.segments()
            && own == OWN
            && api == "api"
        {
            return Audience::Json;
        }
        if accept.split(',').any(|part| part.trim().split(';').next() == Some("application/json")) || self.asks("json")
        {
            Audience::Json
        } else if self.class == ClientClass::Browser && (accept.is_empty() || accept.contains("text/html")) {
            Audience::Browser
        } else {
            Audience::Plain
        }
    }

    /// A call of the model that may wait as long as this client still bears it.
    pub(crate) fn call(&self) -> Call {
        self.call_held(self.patience())
    }

    /// A call of the model that may wait for `hold`.
    pub(crate) fn call_held(&self, hold: Duration) -> Call {
        let protocol = match (self.local, self.audience()) {
            (true, _) | (_, Audience::Json) => Protocol::Api,
            (_, Audience::Browser) => Protocol::Browser,
            (_, Audience::Plain) => Protocol::Webdav,
        };
        let mut call = Call::new(self.config.principal.clone(), protocol, hold);
        call.peer = self.peer;
        call.profile = self.class.profile();
        call
    }

    /// What is left of the time that this client bears without an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.class.hold(self.config.hold).saturating_sub(self.started.elapsed())
    }
}
