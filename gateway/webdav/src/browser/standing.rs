//! The state of a file in a word, a class and a sentence: the same on pages, in events, and in the price.

use serde::Serialize;
use vfs::{Progress, Standing, Timestamp};

use super::work::is_running;

/// The state of one file as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// Which colours it has.
    pub class: &'static str,
    /// In the badge.
    pub text: String,
    /// The whole sentence, when one points at it.
    pub title: String,
}

impl Shown {
    fn new(class: &'static str, text: impl Into<String>, title: impl Into<String>) -> Shown {
        Shown { class, text: text.into(), title: title.into() }
    }

    /// Nothing to say.
    pub(crate) fn nothing() -> Shown {
        Shown::new("", "", "")
    }

    /// The model's state, or else how the work that a button started went. `size`: the bytes that are to come.
    pub(crate) fn of(standing: &Standing, size: Option<u64>, work: Option<&Progress>) -> Shown {
        match (standing, work) {
            (Standing::Uncollected | Standing::InRanges { .. }, Some(Progress::Failed { message })) => {
                Shown::new("badge failed", "failed", message.to_string())
            }
            (Standing::Uncollected | Standing::InRanges { .. }, Some(work)) if is_running(work) => {
                Shown::new("badge running", "queued", "waits for its turn")
            }
            _ => of_model(standing, size),
        }
    }
}

fn of_model(standing: &Standing, size: Option<u64>) -> Shown {
    match standing {
        Standing::NoContent => Shown::nothing(),
        Standing::Uncollected => Shown::new("quiet", "not collected", "its bytes were never asked for"),
        Standing::InRanges { bytes } => {
            Shown::new("badge", "in part", format!("{bytes} bytes of it were read and are here"))
        }
        Standing::Here => Shown::new("badge listed", "here", "nothing has to be collected: its content is here"),
        Standing::Unfetchable => Shown::new(
            "badge failed",
            "no valid name",
            "the name was no valid UTF-8, so the endpoint cannot be asked for it",
        ),
        Standing::Refused { message } => Shown::new("badge failed", "failed", message.clone()),
        Standing::UnderWay { job, delivered, bytes, waits_until, queued_until } => {
            under_way(job.as_deref(), *delivered, *bytes, size, (*waits_until, *queued_until))
        }
        Standing::Collected { job, seen, sha256_endpoint, sha256_gateway, changed_since } => {
            let hash = sha256_endpoint.as_ref().or(sha256_gateway.as_ref());
            let text = hash.and_then(|hash| hash.get(..12)).map_or("collected".to_owned(), str::to_owned);
            let mut title = format!("collected {} by flow {job}", seen.to_rfc3339());
            if let Some(hash) = sha256_endpoint {
                title.push_str(&format!("; SHA-256 by the endpoint {hash}"));
            }
            if let Some(hash) = sha256_gateway {
                title.push_str(&format!("; SHA-256 as received {hash}"));
            }
            if *changed_since {
                title.push_str("; the endpoint has changed since");
            }
            let class = match (hash, changed_since) {
                (Some(_), false) => "badge listed hash",
                (Some(_), true) => "badge listed hash changed",
                (None, false) => "badge listed",
                (None, true) => "badge listed changed",
            };
            Shown::new(class, text, title)
        }
    }
}

fn under_way(
    job: Option<&str>,
    delivered: bool,
    bytes: u64,
    size: Option<u64>,
    (waits_until, queued_until): (Option<Timestamp>, Option<Timestamp>),
) -> Shown {
    let flow = job.map(|job| format!(" (flow {job})")).unwrap_or_default();
    if let Some(until) = queued_until {
        let title = format!("waits until the endpoint is back, at most until {}{flow}", until.to_rfc3339());
        return Shown::new("badge running", "queued", title);
    }
    if let Some(until) = waits_until {
        let title = format!("waits for the endpoint to take work, at about {}{flow}", until.to_rfc3339());
        return Shown::new("badge running", "queued", title);
    }
    match (bytes, size) {
        (0, _) if delivered => Shown::new("badge running", "under way", format!("the endpoint is at work{flow}")),
        (0, _) => Shown::new("badge running", "queued", format!("waits for the endpoint{flow}")),
        // The file may have grown since it was listed.
        (bytes, Some(size)) if size > 0 => {
            let percent = (u128::from(bytes) * 100 / u128::from(size)).min(99);
            Shown::new("badge running", format!("{percent} %"), format!("{bytes} of {size} bytes{flow}"))
        }
        (bytes, _) => Shown::new("badge running", "under way", format!("{bytes} bytes so far{flow}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_the_way(bytes: u64) -> Standing {
        Standing::UnderWay { job: Some("F.1".into()), delivered: true, bytes, waits_until: None, queued_until: None }
    }

    #[test]
    fn the_part_that_came_is_shown_and_never_all_before_it_is_here() {
        assert_eq!(Shown::of(&on_the_way(37), Some(100), None).text, "37 %");
        assert_eq!(Shown::of(&on_the_way(120), Some(100), None).text, "99 %");
        assert_eq!(Shown::of(&on_the_way(5), None, None).text, "under way");
        assert_eq!(Shown::of(&on_the_way(u64::MAX), Some(1), None).text, "99 %");
    }

    #[test]
    fn a_failure_of_a_button_shows_until_the_model_knows_better() {
        let failed = Progress::Failed { message: "the endpoint refused".into() };
        assert_eq!(Shown::of(&Standing::Uncollected, None, Some(&failed)).text, "failed");
        assert_eq!(Shown::of(&Standing::Here, None, Some(&failed)).text, "here");
    }
}
