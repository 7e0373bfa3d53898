//! Who a request comes from, and whether he may come in at all.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};

use super::{Answer, Gui, GuiLogin, page, plain};
use crate::service::listener::Peer;

/// What a browser is told whose login has run out.
const COOKIE_MISSING: &str = "{\"message\": \"Authentication cookie not found, invalid or expired.\\nYou probably need to \
                              re-authenticate in a new tab or refresh this page.\"}";

impl Gui {
    /// The user's name, or the refusal.
    pub(super) fn caller(&self, headers: &HeaderMap, peer: &Peer) -> Result<String, Box<Answer>> {
        let name = match self.config.login {
            GuiLogin::Basic => self.by_password(headers)?,
            GuiLogin::Certificates => peer.name.clone(),
            GuiLogin::SingleSignOn => return Err(Box::new(page(StatusCode::UNAUTHORIZED, COOKIE_MISSING))),
        };
        let permissions = self.service.deployment.lock().users.get(&name);
        if permissions.is_some_and(|permissions| permissions.read_results) {
            return Ok(name);
        }
        let words = format!("Unable to access any orgs: User {name} accessing : No access to org\n");
        Err(Box::new(plain(StatusCode::FORBIDDEN, &words)))
    }

    fn by_password(&self, headers: &HeaderMap) -> Result<String, Box<Answer>> {
        let refused = |text| {
            let mut answer = plain(StatusCode::UNAUTHORIZED, text);
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Restricted\""));
            Box::new(answer)
        };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        let given = given.and_then(|given| String::from_utf8(STANDARD.decode(given).ok()?).ok());
        let Some((name, password)) = given.as_deref().and_then(|given| given.split_once(':')) else {
            return Err(refused("Not authorized\n"));
        };
        let passwords = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        if passwords.get(name).is_some_and(|known| known == password) {
            return Ok(name.to_string());
        }
        Err(refused("authorization failed\n"))
    }
}
