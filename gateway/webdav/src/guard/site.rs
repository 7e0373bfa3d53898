//! Requests that a page of another site, or a browser on its own, makes in the analyst's name start nothing (D3).

use http::Uri;
use http::header::{HOST, HeaderMap, ORIGIN};

use crate::refusal::Refusal;

/// Refuses what another site or a prefetch caused, by the headers that only browsers can set.
pub(crate) fn refuse_foreign_sites(headers: &HeaderMap) -> Result<(), Refusal> {
    let foreign =
        headers.get_all("sec-fetch-site").iter().any(|value| !matches!(value.as_bytes(), b"same-origin" | b"none"));
    if foreign {
        return Err(Refusal::forbidden(
            "this request was made by a page of another site, so it starts nothing: open the address yourself",
        ));
    }
    let speculative = ["sec-purpose", "purpose", "x-moz"]
        .iter()
        .flat_map(|name| headers.get_all(*name))
        .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("prefetch")));
    if speculative {
        return Err(Refusal::forbidden("a prefetch starts nothing"));
    }
    Ok(())
}

/// Refuses a POST whose `Origin` is another one. Browsers send it with every POST; what sends none is no browser.
pub(crate) fn refuse_foreign_posts(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let ours = headers.get(HOST).and_then(|host| host.to_str().ok());
    let theirs = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let theirs = theirs.as_ref().and_then(|origin| origin.authority()).map(|authority| authority.as_str());
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours.eq_ignore_ascii_case(theirs) => Ok(()),
        _ => Err(Refusal::forbidden("this form was sent by a page of another site, so it starts nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn other_sites_and_prefetches_start_nothing() {
        for bad in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "unheard-of"),
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("purpose", "prefetch"),
        ] {
            assert!(refuse_foreign_sites(&headers(&[bad])).is_err(), "{bad:?}");
        }
        for good in [("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin"), ("accept", "*/*")] {
            assert!(refuse_foreign_sites(&headers(&[good])).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_form_of_another_origin_starts_nothing() {
        for origin in ["http://evil.example", "null", "http://127.0.0.1:81"] {
            assert!(
                refuse_foreign_posts(&headers(&[("host", "127.0.0.1:80"), ("origin", origin)])).is_err(),
                "{origin}"
            );
        }
        assert!(refuse_foreign_posts(&headers(&[("host", "127.0.0.1:80"), ("origin", "http://127.0.0.1:80")])).is_ok());
        assert!(refuse_foreign_posts(&headers(&[("host", "127.0.0.1:80")])).is_ok());
    }
}
