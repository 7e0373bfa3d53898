//! The guard against forged requests, as gorilla/csrf is: a cookie, a token in every answer that belongs to it, and a referer.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue, REFERER, SET_COOKIE};

use super::Answer;
use crate::seeded;

const COOKIE_NAME: &str = "_gorilla_csrf";
const TOKEN: &str = "x-csrf-token";

/// Makes and checks tokens.
pub(super) struct Guard {
    key: AtomicU64,
    next: AtomicU64,
}

impl Guard {
    pub(super) fn new(seed: u64) -> Self {
        Self { key: AtomicU64::new(seeded::mix(seed)), next: AtomicU64::new(0) }
    }

    /// Makes all tokens of before invalid.
    pub(super) fn forget(&self) {
        let key = self.key.load(Ordering::Relaxed);
        self.key.store(seeded::mix(key), Ordering::Relaxed);
    }

    /// Refuses what does not come from one of our own pages, in the measured order and words.
    pub(super) fn check(&self, headers: &HeaderMap, hosts: &[&str]) -> Result<(), &'static str> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let referer = text(REFERER.as_str()).ok_or("referer not supplied")?;
        let host = referer.strip_prefix("https://").and_then(|rest| rest.split('/').next());
        if !host.is_some_and(|host| hosts.contains(&host)) {
            return Err("referer invalid");
        }
        let cookie = cookie(headers).ok_or("CSRF token invalid")?;
        let (mask, proof) = text(TOKEN).and_then(|token| token.split_once('.')).ok_or("CSRF token invalid")?;
        if proof == self.proof(&cookie, mask) { Ok(()) } else { Err("CSRF token invalid") }
    }

    /// Every answer has a token for the cookie of its request; who had none gets one.
    pub(super) fn sign(&self, mut answer: Answer, cookie: Option<String>) -> Answer {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key = self.key.load(Ordering::Relaxed);
        let headers = answer.headers_mut();
        let cookie = cookie.unwrap_or_else(|| {
            let fresh = format!("{:016x}", seeded::mix(key ^ number));
            let attributes = "Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Strict";
            if let Ok(value) = HeaderValue::from_str(&format!("{COOKIE_NAME}={fresh}; {attributes}")) {
                headers.insert(SET_COOKIE, value);
            }
            fresh
        });
        let mask = format!("{:08x}", seeded::mix(number));
        if let Ok(value) = HeaderValue::from_str(&format!("{mask}.{}", self.proof(&cookie, &mask))) {
            headers.insert(TOKEN, value);
        }
        answer
    }

    fn proof(&self, cookie: &str, mask: &str) -> String {
        let key = self.key.load(Ordering::Relaxed);
        format!("{:016x}", seeded::hash(seeded::hash(key, cookie.as_bytes()), mask.as_bytes()))
    }
}

/// The cookie of a request.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value.to_string())
}
