//! What the running gateway has learned of an endpoint: how often it takes work, and what would help.

use serde_json::Value;
use vfs::{Clock, SystemClock, Timestamp};

use crate::terminal::{age, printable};

/// With fewer seconds between two tokens than this nobody feels the wait for one.
const FELT: f64 = 5.0;

/// The lines that tell of it.
pub fn in_words(client: &Value) -> Vec<String> {
    let text = |path: &str| client.pointer(path).and_then(Value::as_str);
    let number = |path: &str| client.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let is = |path: &str| client.pointer(path).and_then(Value::as_bool) == Some(true);
    let until = |path: &str| {
        let at = text(path).and_then(Timestamp::parse_rfc3339)?;
        Some(age(at.since(SystemClock.now()).as_secs()))
    };
    #[allow(clippy::cast_precision_loss)] // at most a minute
    let refill = number("/budget/refill_ms") as f64 / 1_000.0;
    let measured = is("/budget/measured");
    let how = if measured {
        "learned from what it took"
    } else {
        "assumed, as by default: it was never seen to run out of them"
    };
    let next = match (until("/takes_work_at"), until("/budget/next")) {
        (Some(due), _) => format!("in {due} (work waits for that)"),
        (None, Some(due)) => format!("in {due}"),
        (None, None) => "at once".into(),
    };
    let takes = if is("/budget/polls") {
        "all that waits with one token (it polls)"
    } else {
        "one task with each token, for all that is known (as over a websocket)"
    };
    let mut lines = vec![
        format!(
            "endpoint          {} ({})",
            text("/id/client_id").unwrap_or_default(),
            printable(text("/hostname").unwrap_or_default())
        ),
        format!("online            {}", if is("/online") { "yes" } else { "no" }),
        format!("receive tokens    about {} of 10; each delivery of work takes one", number("/budget/tokens")),
        format!("one comes back    every {refill:.1} s, as with max_poll {:.0} ({how})", refill * 2.0),
        format!("takes             {takes}"),
        format!("takes work next   {next}"),
        format!("flows under way   {}", number("/jobs")),
    ];
    if refill > FELT {
        lines.push(
            "hint: after ten deliveries in a row each further one waits for a token; a lower Client.max_poll in the clients' \
             configuration shortens that, see deploy/velociraptor/README.md"
                .into(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn clients() -> Value {
        let client = |id: &str, host: &str, budget: Value| json!({ "id": { "client_id": id }, "hostname": host, "online": true, "jobs": 1, "takes_work_at": null, "budget": budget });
        json!([
            client(
                "C.1",
                "desk",
                json!({ "tokens": 10, "refill_ms": 30_000, "measured": false, "polls": false, "next": null })
            ),
            client(
                "C.2",
                "desk",
                json!({ "tokens": 0, "refill_ms": 1_040, "measured": true, "polls": true, "next": SystemClock.now() })
            ),
            client("C.3", "lab", json!({})),
        ])
    }

    #[test]
    fn what_is_assumed_is_told_as_such_and_what_is_learned_too() {
        let clients = clients();
        let assumed = in_words(&clients[0]).join("\n");
        assert!(
            assumed.contains("about 10 of 10") && assumed.contains("every 30.0 s, as with max_poll 60 (assumed"),
            "{assumed}"
        );
        assert!(
            assumed.contains("one task with each token") && assumed.contains("at once") && assumed.contains("hint:"),
            "{assumed}"
        );
        let learned = in_words(&clients[1]).join("\n");
        assert!(learned.contains("every 1.0 s, as with max_poll 2 (learned"), "{learned}");
        assert!(learned.contains("all that waits") && !learned.contains("hint:"), "{learned}");
    }
}
