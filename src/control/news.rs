//! How a refresh or a collection goes, in words.

use anyhow::bail;
use serde::Deserialize;
use serde_json::Value;

use super::lines::Lines;
use crate::terminal::{self, Progress, say};

/// `vfs::Progress`, as it comes over the socket.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
enum News {
    Queued { job: Option<String> },
    Delivered,
    Running { rows: u64, bytes: u64 },
    Done { message: String },
    Failed { message: String },
}

/// Shows `lines` until the work ends; as they are with `json`.
///
/// # Errors
/// If the work failed, or its end was not told.
pub async fn watch(mut lines: Lines, json: bool) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    while let Some(line) = lines.next().await? {
        let news = serde_json::from_value(line.clone());
        if json {
            say(&line.to_string());
        }
        match news {
            Ok(News::Done { message }) => {
                if !json {
                    progress.end(&message);
                }
                return Ok(());
            }
            Ok(News::Failed { message }) => bail!("{}", terminal::printable(&message)),
            Ok(news) if !json => progress.show(&in_words(&news)),
            Ok(_) => {}
            Err(error) => note_unknown(&line, &error),
        }
    }
    bail!("the gateway did not say how it ended: `raptorgate activity` may tell")
}

fn in_words(news: &News) -> String {
    match news {
        News::Queued { job: Some(job) } => format!("waiting for the endpoint to fetch the flow {job}"),
        News::Queued { job: None } => "waiting for work that is already under way".into(),
        News::Delivered => "the endpoint works".into(),
        News::Running { rows, bytes: 0 } => format!("{rows} entries so far"),
        News::Running { rows: 0, bytes } => format!("{} so far", terminal::bytes(*bytes)),
        News::Running { rows, bytes } => format!("{rows} entries, {} so far", terminal::bytes(*bytes)),
        News::Done { message } | News::Failed { message } => message.clone(),
    }
}

fn note_unknown(line: &Value, error: &serde_json::Error) {
    tracing::debug!(%line, %error, "news that this version does not know");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_news_of_the_model_is_understood() {
        let message: Arc<str> = "12 entries".into();
        let news = [
            vfs::Progress::Queued { job: Some("F.1".into()) },
            vfs::Progress::Queued { job: None },
            vfs::Progress::Delivered,
            vfs::Progress::Running { rows: 3, bytes: 0 },
            vfs::Progress::Running { rows: 0, bytes: 2048 },
            vfs::Progress::Running { rows: 3, bytes: 2048 },
            vfs::Progress::Done { message: message.clone() },
            vfs::Progress::Failed { message },
        ];
        let words: Vec<String> = news
            .iter()
            .map(|news| in_words(&serde_json::from_value(serde_json::to_value(news).unwrap()).unwrap()))
            .collect();
        let expected = [
            "waiting for the endpoint to fetch the flow F.1",
            "waiting for work that is already under way",
            "the endpoint works",
            "3 entries so far",
            "2.0 KiB so far",
            "3 entries, 2.0 KiB so far",
            "12 entries",
            "12 entries",
        ];
        assert_eq!(words, expected);
    }
}
