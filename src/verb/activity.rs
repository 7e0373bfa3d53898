//! `activity`: the flows under way, and those that ended lately.

use serde_json::Value;
use vfs::{Clock, SystemClock, Timestamp};

use super::control_only::Arguments;
use crate::terminal::{age, bytes, say, table};

/// Asks and prints.
///
/// # Errors
/// If no gateway answers.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let activity = arguments.gateway()?.get("activity").await?;
    if arguments.json {
        say(&activity.to_string());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = activity.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        say("nothing is under way");
    } else {
        table(&["FLOW", "WORK", "PATH", "FOR", "SINCE", "SO FAR", "STATE"], &rows);
    }
    Ok(())
}

fn row(activity: &Value) -> Vec<String> {
    let text = |path: &str| activity.pointer(path).and_then(Value::as_str);
    let number = |path: &str| activity.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let started = text("/started").and_then(Timestamp::parse_rfc3339).unwrap_or_default();
    let ago = SystemClock.now().since(started).as_secs();
    let until = |path: &str| text(path).and_then(Timestamp::parse_rfc3339);
    let state = match until("/queued_until").or_else(|| until("/waits_until")) {
        Some(end) if until("/queued_until").is_some() => {
            format!("waits until the endpoint is back, at most {}", age(end.since(SystemClock.now()).as_secs()))
        }
        Some(due) => format!("waits for the endpoint, {}", age(due.since(SystemClock.now()).as_secs())),
        None => "under way".to_owned(),
    };
    let so_far = match (number("/rows"), number("/bytes")) {
        (0, 0) => String::new(),
        (rows, 0) => format!("{rows} entries"),
        (_, collected) => bytes(collected),
    };
    vec![
        text("/job").unwrap_or("not started yet").to_owned(),
        text("/work").unwrap_or_default().to_owned(),
        text("/path").unwrap_or_default().to_owned(),
        text("/principal").unwrap_or_default().to_owned(),
        age(ago),
        so_far,
        text("/ended").map_or(state, str::to_owned),
    ]
}

#[cfg(test)]
mod tests {
    use vfs::{Activity, Timestamp};

    use super::*;

    #[test]
    fn an_activity_of_the_model_is_told_whole() {
        let mut activity = Activity {
            job: Some("F.1".into()),
            endpoint: "C.1".into(),
            path: "/C.1/auto/etc".into(),
            work: "list",
            principal: "alice".into(),
            started: Timestamp::new(0, 0),
            waits_until: None,
            queued_until: None,
            rows: 7,
            bytes: 0,
            ended: None,
        };
        let told = row(&serde_json::to_value(&activity).unwrap());
        assert_eq!(told[..4], ["F.1", "list", "/C.1/auto/etc", "alice"]);
        assert_eq!(told[5..], ["7 entries", "under way"]);
        activity.waits_until = Some(SystemClock.now().plus(std::time::Duration::from_secs(25)));
        let told = row(&serde_json::to_value(&activity).unwrap());
        assert!(told[6].starts_with("waits for the endpoint, 2"), "{}", told[6]);
        activity.queued_until = Some(SystemClock.now().plus(std::time::Duration::from_secs(72 * 3_600)));
        let told = row(&serde_json::to_value(&activity).unwrap());
        assert!(told[6].starts_with("waits until the endpoint is back, at most 2 days"), "{}", told[6]);
    }
}
