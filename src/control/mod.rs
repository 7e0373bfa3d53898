//! The client of a running gateway: HTTP and JSON over its control socket (docs/openapi.yaml).

mod lines;
mod news;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

pub use news::watch;

use crate::state;
use crate::terminal::printable;
use lines::Lines;

/// The longest answer that is read: a status of ten thousand endpoints is some 5 MB.
const MAX_ANSWER: usize = 64 << 20;
/// Where the API is.
const API: &str = "/-/api/v1/";

/// A gateway that runs on this machine.
#[derive(Debug)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    /// The gateway that uses `state`, or the one that runs.
    ///
    /// # Errors
    /// If none answers.
    pub fn of(state: Option<&Path>) -> anyhow::Result<Control> {
        Ok(Control { socket: state::running_gateway(state)? })
    }

    /// Asks for `what`.
    ///
    /// # Errors
    /// What the gateway says, or that it does not answer.
    pub async fn get(&self, what: &str) -> anyhow::Result<Value> {
        whole(self.request(Method::GET, what, String::new()).await?).await
    }

    /// Has the gateway do `what` at once.
    ///
    /// # Errors
    /// What the gateway says, or that it does not answer.
    pub async fn ask(&self, what: &str, wish: &Value) -> anyhow::Result<Value> {
        whole(self.request(Method::POST, what, wish.to_string()).await?).await
    }

    /// Has the gateway do `what`, and gives the lines in which it tells how it goes.
    ///
    /// # Errors
    /// What the gateway says, or that it does not answer.
    pub async fn post(&self, what: &str, wish: &Value) -> anyhow::Result<Lines> {
        Ok(Lines::new(self.request(Method::POST, what, wish.to_string()).await?))
    }

    async fn request(&self, method: Method, what: &str, body: String) -> anyhow::Result<Incoming> {
        let lost = || format!("the gateway at {} does not answer", self.socket.display());
        let stream = UnixStream::connect(&self.socket).await.with_context(lost)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("{API}{what}"))
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await.with_context(lost)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response.into_body());
        }
        let text = Limited::new(response.into_body(), 1 << 16).collect().await;
        let text = text.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned()).unwrap_or_default();
        bail!("{}", reason(&text).unwrap_or_else(|| format!("the gateway answered {status}")))
    }
}

async fn whole(body: Incoming) -> anyhow::Result<Value> {
    let bytes = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    serde_json::from_slice(&bytes).context("the gateway's answer is not understood: is it another version?")
}

/// Why the gateway refuses: the message of its answer, or the whole if that has none.
fn reason(text: &str) -> Option<String> {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let message = parsed.as_ref().and_then(|answer| answer["message"].as_str()).unwrap_or(text);
    (!message.is_empty()).then(|| printable(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_message() {
        assert_eq!(
            reason(r#"{"message":"there is no such file","status":404}"#).as_deref(),
            Some("there is no such file")
        );
        assert_eq!(reason("plain").as_deref(), Some("plain"));
        assert_eq!(reason(r#"{"status":500}"#).as_deref(), Some(r#"{"status":500}"#));
        assert_eq!(reason(""), None);
    }
}
