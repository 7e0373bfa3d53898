//! What goes wrong over HTTP, in the words of [`CallError`], and what to do about it (docs/velociraptor-api.md §10).
//!
//! The server's own refusals are plain text with the status of the gRPC code. Pages and redirections come from something else: a
//! wrong path, a login page, a proxy.

use std::error::Error;
use std::io;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION, WWW_AUTHENTICATE};
use hyper::http::response::Parts;
use rustls::{AlertDescription, CertificateError};

use crate::gui_config::{GuiConfig, Login};
use crate::server::CallError;
use crate::server::failure::without_paths;

/// Judges answers of one server.
pub(super) struct Refusals {
    /// The URL that the user gave.
    address: String,
    host: String,
    /// The user whose password we send; `None` if we have a certificate.
    user: Option<String>,
    own_ca: bool,
}

/// What is read of a refusal.
const MAX_REFUSAL: usize = 4 << 10;

impl Refusals {
    pub(super) fn new(config: &GuiConfig) -> Refusals {
        let user = match &config.login {
            Login::Password { user, .. } => Some(user.clone()),
            Login::Certificate { .. } => None,
        };
        Refusals { address: config.address(), host: config.url.host.clone(), user, own_ca: config.ca.is_some() }
    }

    /// Refuses pages that come with success: Velociraptor's API has none.
    pub(super) fn accept(&self, parts: &Parts) -> Result<(), CallError> {
        if is_page(parts) { Err(self.no_api("it answers with a page of HTML")) } else { Ok(()) }
    }

    /// Whether the token was refused, and nothing else.
    pub(super) fn is_forgery(&self, parts: &Parts, body: &[u8]) -> bool {
        parts.status == StatusCode::FORBIDDEN && !is_page(parts) && text(body).starts_with("Forbidden - ")
    }

    /// What an answer means that is no success.
    pub(super) fn judge(&self, parts: &Parts, body: &[u8]) -> CallError {
        let words = without_paths(&text(body));
        let address = &self.address;
        match parts.status {
            status if status.is_redirection() => self.redirected(header(parts, LOCATION)),
            StatusCode::UNAUTHORIZED => self.unauthorized(header(parts, WWW_AUTHENTICATE)),
            StatusCode::FORBIDDEN if self.is_forgery(parts, body) => CallError::Misconfigured(format!(
                "the GUI at {address} takes our requests for forged ones ({words}): name it in --gui-url as its \
                 GUI.public_url does, or add this name to GUI.trusted_origins on the server; a proxy in between must pass on \
                 Cookie, Referer and X-CSRF-Token"
            )),
            StatusCode::FORBIDDEN if is_page(parts) => CallError::Misconfigured(format!(
                "something in front of the GUI at {address} refuses us (403): let it pass this machine to the path api/v1/ of the GUI"
            )),
            StatusCode::FORBIDDEN if words.contains("access any orgs") || words.contains("No access to org") => {
                CallError::Misconfigured(self.without_rights())
            }
            StatusCode::FORBIDDEN => CallError::Denied(words),
            StatusCode::NOT_FOUND if is_page(parts) || words == "404 page not found" => {
                self.no_api("there is nothing at that path")
            }
            StatusCode::NOT_FOUND => CallError::NotFound,
            StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                CallError::Invalid(words)
            }
            StatusCode::PAYLOAD_TOO_LARGE => CallError::Invalid("the request is too long".into()),
            StatusCode::TOO_MANY_REQUESTS if words.contains("larger than max") => CallError::TooLong,
            StatusCode::TOO_MANY_REQUESTS => CallError::Unreachable("it asks us to come back later (429)".into()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => CallError::TimedOut,
            StatusCode::BAD_GATEWAY => {
                CallError::Unreachable("the proxy in front of it does not reach it (502)".into())
            }
            // The server's own UNAVAILABLE is plain text; a proxy's, or a server's that just starts, is not about this call.
            StatusCode::SERVICE_UNAVAILABLE
                if is_page(parts) || words.is_empty() || words.contains("connection error") =>
            {
                CallError::Unreachable("it is not available for now (503)".into())
            }
            status if words.is_empty() || is_page(parts) => CallError::Failed(format!("it answers {status}")),
            _ => CallError::Failed(words),
        }
    }

    fn redirected(&self, location: &str) -> CallError {
        let path = location.split(['?', '#']).next().unwrap_or_default();
        if let Some(base) = path.strip_suffix("app/index.html") {
            let base = base.split_once("://").map_or(base, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
            return self.no_api(&format!("it sends us to its start page, whose base path is {base}"));
        }
        CallError::Misconfigured(format!(
            "the GUI at {} sends us to {} to log in: {}",
            self.address,
            location.chars().filter(|character| !character.is_control()).take(100).collect::<String>(),
            SINGLE_SIGN_ON
        ))
    }

    fn unauthorized(&self, challenge: &str) -> CallError {
        let address = &self.address;
        CallError::Misconfigured(match &self.user {
            _ if !challenge.to_ascii_lowercase().contains("basic") => {
                format!("the GUI at {address} asks for a login that a program cannot do: {SINGLE_SIGN_ON}")
            }
            Some(user) => format!(
                "the GUI at {address} does not accept the password of the user {user}: check --gui-user and the password \
                 (an administrator can set a new one in the GUI, under Users)"
            ),
            None => format!(
                "the GUI at {address} asks for a password, not for a certificate: name a user with --gui-user and --gui-password-file"
            ),
        })
    }

    /// What a user without rights needs.
    fn without_rights(&self) -> String {
        let user = self.user.as_deref().unwrap_or("NAME");
        format!(
            "the user {user} may not read results: run `velociraptor --config server.config.yaml acl grant {user} --role \
             investigator` on the server (a running server needs up to 5 minutes to notice)"
        )
    }

    fn no_api(&self, what: &str) -> CallError {
        CallError::Misconfigured(format!(
            "there is no API of Velociraptor at {}: {what}; give --gui-url what a browser shows before app/index.html, with \
             GUI.base_path if the server has one",
            self.address
        ))
    }

    /// What a broken connection means: only what somebody must mend is no reason to try again.
    pub(super) fn broken(&self, error: &(dyn Error + 'static)) -> CallError {
        let address = &self.address;
        let Some(tls) = tls_error(error) else { return CallError::Unreachable(chain(error)) };
        let text = match tls {
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!(
                "the certificate of the GUI at {address} is not for the name {}: give --gui-url a name that is in it",
                self.host
            ),
            rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                format!("the certificate of the GUI at {address} has expired: renew it, or check this machine's clock")
            }
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => format!("the certificate of the GUI at {address} is not valid yet: check this machine's clock"),
            rustls::Error::InvalidCertificate(_) if self.own_ca => format!(
                "the certificate of the GUI at {address} is not of the CA in --gui-ca ({tls}): take Client.ca_certificate of this \
                 server's server.config.yaml, or the CA that signed the GUI's own certificate"
            ),
            rustls::Error::InvalidCertificate(_) => format!(
                "this machine does not know the CA of the certificate of the GUI at {address} ({tls}): if it is Velociraptor's own, \
                 save Client.ca_certificate of server.config.yaml into a file and name it with --gui-ca FILE"
            ),
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateUnknown
                | AlertDescription::HandshakeFailure,
            ) if self.user.is_some() => format!(
                "the GUI at {address} asks for a certificate, not for a password: name ours with --gui-certificate and --gui-key"
            ),
            rustls::Error::AlertReceived(_) => format!("the GUI at {address} does not accept our certificate ({tls})"),
            rustls::Error::InvalidMessage(_) => {
                format!("what listens at {address} does not speak TLS: is the port that of the GUI (8889)?")
            }
            tls => return CallError::Unreachable(tls.to_string()),
        };
        CallError::Misconfigured(text)
    }

    /// What to do about the first call's failure.
    pub(super) fn advice(&self, error: &CallError) -> String {
        let address = &self.address;
        let text = error.to_string().to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        match error {
            CallError::Misconfigured(text) => text.clone(),
            CallError::Denied(_) => self.without_rights(),
            CallError::Unreachable(_) if says(&["connection refused"]) => format!(
                "nothing listens at {address}: is the server running, and does its GUI listen there (GUI.bind_address, \
                 GUI.bind_port in server.config.yaml; the default is 127.0.0.1 only)?"
            ),
            CallError::Unreachable(_)
                if says(&["dns", "lookup", "name or service", "no such host", "name resolution"]) =>
            {
                format!("the host of {address} has no address: check --gui-url")
            }
            CallError::TimedOut => format!("the GUI at {address} does not answer: is a firewall in between?"),
            CallError::Unreachable(words) if says(&["timed out", "timeout"]) => {
                format!("the GUI at {address} does not answer: is a firewall in between? ({words})")
            }
            CallError::Unreachable(words) => format!("the GUI at {address} cannot be reached: {words}"),
            CallError::NotFound => match self.no_api("it does not know our first question") {
                CallError::Misconfigured(text) => text,
                error => error.to_string(),
            },
            error => format!("the GUI at {address} answers strangely: {error}"),
        }
    }
}

const SINGLE_SIGN_ON: &str = "single sign-on needs a person with a browser; use the API port (--api-config), or let an administrator allow \
     certificates besides (GUI.authenticator of type `multi` with `certs`) and name one with --gui-certificate and --gui-key";

fn is_page(parts: &Parts) -> bool {
    header(parts, CONTENT_TYPE).starts_with("text/html")
}

fn header(parts: &Parts, name: HeaderName) -> &str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MAX_REFUSAL)]).trim().to_owned()
}

/// The error of TLS under a chain of errors: an error of input and output hides it from `source`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(tls) = tls_error(inner)
        {
            return Some(tls);
        }
        next = error.source();
    }
    None
}

/// The innermost words of an error say most.
fn chain(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    without_paths(&innermost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gui_config::GuiLogin;
    use proptest::prelude::*;

    fn refusals() -> Refusals {
        let login = GuiLogin { user: Some("gateway".into()), ..GuiLogin::default() };
        let config = GuiConfig::load("https://server:8889/velo/", &login, Some("secret".into()), None).unwrap();
        Refusals::new(&config)
    }

    fn judge(status: u16, headers: &[(&str, &str)], body: &str) -> CallError {
        let mut answer = hyper::Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        refusals().judge(&answer.body(()).unwrap().into_parts().0, body.as_bytes())
    }

    const PLAIN: (&str, &str) = ("content-type", "text/plain; charset=utf-8");
    const PAGE: (&str, &str) = ("content-type", "text/html; charset=utf-8");

    #[test]
    fn the_refusals_of_a_real_server_keep_their_meaning() {
        assert_eq!(judge(404, &[PLAIN], "Not Found"), CallError::NotFound);
        assert_eq!(judge(404, &[PLAIN], "Error"), CallError::NotFound);
        let unknown = CallError::Failed("Unknown artifact No.Such".into());
        assert_eq!(judge(503, &[PLAIN], "Unknown artifact No.Such"), unknown);
        assert!(matches!(
            judge(403, &[PLAIN], "User is not allowed to modify artifacts (ARTIFACT_WRITER)."),
            CallError::Denied(_)
        ));
        assert!(matches!(judge(400, &[PLAIN], "unexpected EOF"), CallError::Invalid(_)));
        assert_eq!(judge(500, &[PLAIN], "Error"), CallError::Failed("Error".into()));
    }

    #[test]
    fn what_somebody_must_mend_is_said_in_one_line() {
        let basic = ("www-authenticate", "Basic realm=\"Restricted\"");
        let cases = [
            (judge(401, &[PLAIN, basic], "authorization failed"), "password of the user gateway"),
            (judge(401, &[PAGE], "{\"message\": \"Authentication cookie not found"), "single sign-on"),
            (judge(302, &[PAGE, ("location", "/velo/auth/google/login")], ""), "single sign-on"),
            (judge(307, &[PAGE, ("location", "/other/app/index.html")], ""), "base path is /other/"),
            (judge(307, &[PAGE, ("location", "https://server:8889/app/index.html")], ""), "base path is /;"),
            (judge(404, &[PLAIN], "404 page not found"), "GUI.base_path"),
            (judge(404, &[PAGE], "<html>"), "GUI.base_path"),
            (judge(403, &[PLAIN], "Forbidden - referer invalid"), "trusted_origins"),
            (
                judge(403, &[PLAIN], "Unable to access any orgs: User none accessing : No access to org"),
                "acl grant gateway",
            ),
            (judge(403, &[PAGE], "<html>"), "in front of the GUI"),
        ];
        for (error, expected) in cases {
            let CallError::Misconfigured(text) = &error else { panic!("{expected}: {error:?}") };
            assert!(text.contains(expected) && !text.contains('\n') && !error.is_transient(), "{text}");
            assert_eq!(refusals().advice(&error), *text);
        }
    }

    #[test]
    fn a_proxy_without_its_server_is_worth_another_try() {
        for error in [
            judge(502, &[PAGE], "<html>"),
            judge(503, &[PAGE], "<html>"),
            judge(504, &[PAGE], "<html>"),
            judge(503, &[PLAIN], "connection error: desc = \"transport: …\""),
            judge(429, &[PAGE], "<html>"),
        ] {
            assert!(error.is_transient(), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_fail(status in 300_u16..600, kind in "[a-z/]{0,12}", place in "[ -~]{0,40}", body in "\\PC{0,80}") {
            let error = judge(status, &[("content-type", &kind), ("location", &place)], &body);
            prop_assert!(!refusals().advice(&error).is_empty());
        }
    }
}
