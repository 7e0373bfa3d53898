//! `clients --connections`: who is connected over NFS, which client it is taken for, and what it does.

use serde_json::Value;
use vfs::{Clock, SystemClock, Timestamp};

use crate::terminal::{age, bytes, say, table};

const TITLES: [&str; 9] = ["PEER", "CLIENT", "BECAUSE", "PRINCIPAL", "PROTOCOL", "SINCE", "CALLS", "SENT", "MOUNTED"];

/// Prints one line for each connection.
pub(super) fn tell(connections: &Value) {
    let rows: Vec<Vec<String>> = connections.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        say("nobody is connected over NFS");
    } else {
        table(&TITLES, &rows);
    }
}

fn row(connection: &Value) -> Vec<String> {
    let text = |name: &str| connection[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| connection[name].as_u64().unwrap_or(0);
    let since = connection["since"].as_str().and_then(Timestamp::parse_rfc3339);
    let since = since.map_or_else(String::new, |since| age(SystemClock.now().since(since).as_secs()));
    let calls = match number("held") {
        0 => number("calls").to_string(),
        held => format!("{} ({held} wait)", number("calls")),
    };
    let mounted: Vec<&str> = connection["mounted"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mounted = if mounted.is_empty() { "not known".to_owned() } else { mounted.join(", ") };
    vec![
        text("peer"),
        text("kind"),
        text("why"),
        text("principal"),
        text("protocol"),
        since,
        calls,
        bytes(number("sent")),
        mounted,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_told_in_one_row() {
        let told = row(&serde_json::json!({
            "peer": "192.0.2.7:801", "local": "192.0.2.1:2049", "kind": "macos", "why": "names no machine in AUTH_SYS",
            "principal": "local", "protocol": "NFS over TCP", "mounted": ["/C.1", "/C.2/auto"], "since": "2020-01-01T00:00:00Z",
            "calls": 12, "held": 2, "received": 1, "sent": 2048,
        }));
        assert_eq!(told[..5], ["192.0.2.7:801", "macos", "names no machine in AUTH_SYS", "local", "NFS over TCP"]);
        assert!(told[5].ends_with("days"), "{told:?}");
        assert_eq!(told[6..], ["12 (2 wait)", "2.0 KiB", "/C.1, /C.2/auto"]);
        assert_eq!(row(&serde_json::json!({})).len(), TITLES.len());
    }
}
