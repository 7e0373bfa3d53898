//! `status`: what the running gateway does and holds.

use serde_json::Value;

use super::control_only::Arguments;
use crate::terminal::{age, bytes, say};

/// Asks and prints.
///
/// # Errors
/// If no gateway answers.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let status = arguments.gateway()?.get("status").await?;
    if arguments.json {
        say(&status.to_string());
        return Ok(());
    }
    for line in in_words(&status) {
        say(&line);
    }
    Ok(())
}

fn in_words(status: &Value) -> Vec<String> {
    let text = |path: &str| status.pointer(path).and_then(Value::as_str).unwrap_or("not known").to_owned();
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let nfs: Vec<&str> = status["nfs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let portmapped = status["portmapped"].as_bool() == Some(true);
    let server = if status.pointer("/server/simulated").and_then(Value::as_bool) == Some(true) {
        "simulated in the same process".into()
    } else {
        text("/server/address")
    };
    let mut told = vec![
        format!(
            "raptorgate {}, process {}, running for {}",
            text("/version"),
            number("/process"),
            age(number("/running_seconds"))
        ),
        format!("server     {server}"),
        format!(
            "endpoints  {} known, {} online ({} with work that waits until they take it), {} flows under way",
            number("/endpoints/known"),
            number("/endpoints/online"),
            number("/endpoints/waiting"),
            number("/endpoints/jobs")
        ),
        format!(
            "NFS        {}{}{}",
            nfs.join(", "),
            status["nfs_xprtsec"].as_str().map(|kind| format!("; only with xprtsec={kind}")).unwrap_or_default(),
            if portmapped {
                "; a mount needs no options for the ports"
            } else {
                "; a mount needs options for the ports: see /-/connect"
            }
        ),
        format!("WebDAV     {}", text("/webdav")),
        format!(
            "cache      {} directories, {} of listings, {} of contents on disk",
            number("/cache/directories"),
            bytes(number("/cache/listing_bytes")),
            bytes(number("/cache/content_bytes"))
        ),
        format!("state      {}", text("/state")),
        format!("ledger     {}", text("/ledger")),
    ];
    told.extend(calls(&status["calls"]));
    told
}

/// What was asked of the server, and how long it took to answer.
fn calls(calls: &Value) -> Vec<String> {
    let asked = calls.as_object().into_iter().flatten().filter_map(|(name, figures)| {
        let number = |what: &str| figures[what].as_u64().unwrap_or(0);
        let time = |what: &str| time(number(what));
        (number("calls") > 0).then(|| {
            format!(
                "{name} {} ({} failed; half within {}, 99 % within {}, slowest {})",
                number("calls"),
                number("failures"),
                time("median_micros"),
                time("most_micros"),
                time("slowest_micros")
            )
        })
    });
    let margin = std::iter::once("asked      ").chain(std::iter::repeat("           "));
    margin.zip(asked).map(|(margin, line)| format!("{margin}{line}")).collect()
}

fn time(micros: u64) -> String {
    match micros {
        0..1_000 => "1 ms".into(),
        1_000..10_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{} s", micros / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_anything_is_still_told() {
        let told = in_words(&serde_json::json!({ "version": "1", "server": { "address": "server:8001" } })).join("\n");
        assert!(told.contains("server:8001") && told.contains("not known"), "{told}");
    }

    #[test]
    fn what_was_asked_of_the_server_is_told_and_what_was_not_is_left_out() {
        let read = serde_json::json!({ "calls": 7, "failures": 1, "median_micros": 4096, "most_micros": 65536, "slowest_micros": 12_000_000 });
        let never = serde_json::json!({ "calls": 0 });
        let told = calls(&serde_json::json!({ "held": never, "read": read, "submit": read }));
        assert_eq!(told[0], "asked      read 7 (1 failed; half within 4 ms, 99 % within 65 ms, slowest 12 s)");
        assert!(told.len() == 2 && told[1].starts_with("           submit"), "{told:?}");
    }
}
