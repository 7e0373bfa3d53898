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
    vec![
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
            "NFS        {}{}",
            nfs.join(", "),
            if portmapped {
                "; a mount needs no options"
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
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_anything_is_still_told() {
        let told = in_words(&serde_json::json!({ "version": "1", "server": { "address": "server:8001" } })).join("\n");
        assert!(told.contains("server:8001") && told.contains("not known"), "{told}");
    }
}
