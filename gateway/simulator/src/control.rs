//! The switches from outside the process: one JSON command per line over `simulator/control.sock`, one JSON answer each.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::error::Error;
use crate::handle::Handle;

/// A command is no longer than this.
const MAX_LINE: u64 = 64 << 10;

/// A command: the one key of the line's object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    /// `{"clients":{}}`
    Clients {},
    /// `{"counters":{}}`
    Counters {},
    /// `{"online":"C.…"}`
    Online(String),
    /// `{"offline":"C.…"}`
    Offline(String),
    /// `{"deny":{"client":"C.…","path":["C:","x"]}}`
    Deny(Place),
    /// The same for a file that another process holds.
    Lock(Place),
    /// The same for a path that is gone.
    Vanish(Place),
    /// Takes the trouble of a path back.
    Restore(Place),
    /// `{"fault":{"late_records_ms":500}}`
    Fault(Fault),
    /// A colleague lists a directory in the GUI: `{"refresh":{"client":"C.…","path":["x"]}}`
    Refresh(Place),
    /// A colleague collects a file or a directory in the GUI: `{"download":{"client":"C.…","path":["x"]}}`
    Download(Place),
    /// `{"ended":{"client":"C.…","flow":"F.…"}}`
    Ended { client: String, flow: String },
    /// `{"drop_event_streams":{}}`
    DropEventStreams {},
    /// `{"restart_server":{"down_ms":2000}}`
    RestartServer { down_ms: u64 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    client: String,
    path: Vec<String>,
}

/// A switch and its value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Fault {
    LateRecordsMs(Option<u64>),
    LostLogShare(f64),
    FailNextFlows { count: u32, text: String },
    BreakNextFlows { count: u32, rows: u64, text: String },
    LoseNextFlows(u32),
    StallNextFlows(u32),
    MessageLimit(Option<usize>),
    OldRows(bool),
    NamelessRows(bool),
    UnevenColumns(bool),
    ShortReads(bool),
    SizeError(i64),
    ClockSkewS(i64),
}

/// Listens on `path` until the tasks are dropped. A socket left by a killed process is replaced.
pub(crate) fn listen(path: &Path, handle: Handle, tasks: &mut tokio::task::JoinSet<()>) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::state(path)(error)),
    }
    let listener = UnixListener::bind(path).map_err(Error::state(path))?;
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, handle.clone()));
        }
    });
    Ok(())
}

async fn serve(stream: UnixStream, handle: Handle) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(length) if length > 0) {
            return;
        }
        let whole = line.last() == Some(&b'\n');
        let answer = if whole { answer(&line, &handle) } else { json!({"error": "command too long"}) };
        let mut text = answer.to_string();
        text.push('\n');
        if writer.write_all(text.as_bytes()).await.is_err() || !whole {
            return;
        }
    }
}

fn answer(line: &[u8], handle: &Handle) -> Value {
    match serde_json::from_slice::<Command>(line) {
        Ok(command) => execute(command, handle).unwrap_or_else(|error| json!({"error": error})),
        Err(error) => json!({"error": format!("no such command: {error}")}),
    }
}

fn execute(command: Command, handle: &Handle) -> Result<Value, String> {
    let path = |place: &Place| place.path.iter().map(String::as_str).map(str::to_string).collect::<Vec<_>>();
    let with = |place: Place, act: fn(&Handle, &str, &[&str]) -> Result<(), crate::UnknownClient>| {
        let path = path(&place);
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        act(handle, &place.client, &parts).map_err(|error| error.to_string())
    };
    match command {
        Command::Clients {} => {
            let clients: Vec<Value> = handle
                .clients()
                .into_iter()
                .map(|client| {
                    json!({"client_id": client.client_id, "hostname": client.hostname, "os": client.os,
                           "root": client.root, "online": client.online})
                })
                .collect();
            return Ok(json!({"ok": true, "clients": clients}));
        }
        Command::Counters {} => return Ok(json!({"ok": true, "counters": handle.counters()})),
        Command::Online(client) => handle.set_online(&client, true).map_err(|error| error.to_string())?,
        Command::Offline(client) => handle.set_online(&client, false).map_err(|error| error.to_string())?,
        Command::Deny(place) => with(place, Handle::deny)?,
        Command::Lock(place) => with(place, Handle::lock_file)?,
        Command::Vanish(place) => with(place, Handle::vanish)?,
        Command::Restore(place) => with(place, Handle::restore)?,
        Command::Refresh(place) => return Ok(json!({"ok": true, "flow": handle.refresh(&place.client, &place.path)?})),
        Command::Download(place) => {
            return Ok(json!({"ok": true, "flow": handle.download(&place.client, &place.path)?}));
        }
        Command::Ended { client, flow } => {
            let ended = handle.has_ended(&client, &flow).ok_or_else(|| format!("no flow {flow} of {client}"))?;
            return Ok(json!({"ok": true, "ended": ended}));
        }
        Command::DropEventStreams {} => handle.drop_event_streams(),
        Command::RestartServer { down_ms } => handle.restart_server(Duration::from_millis(down_ms)),
        Command::Fault(fault) => set(fault, handle),
    }
    Ok(json!({"ok": true}))
}

fn set(fault: Fault, handle: &Handle) {
    match fault {
        Fault::LateRecordsMs(delay) => handle.late_records(delay.map(Duration::from_millis)),
        Fault::LostLogShare(share) => handle.lose_log_lines(share),
        Fault::FailNextFlows { count, text } => handle.fail_next_flows(count, &text),
        Fault::BreakNextFlows { count, rows, text } => handle.break_next_flows(count, rows, &text),
        Fault::LoseNextFlows(count) => handle.lose_next_flows(count),
        Fault::StallNextFlows(count) => handle.stall_next_flows(count),
        Fault::MessageLimit(limit) => handle.limit_messages(limit),
        Fault::OldRows(on) => handle.old_rows(on),
        Fault::NamelessRows(on) => handle.nameless_rows(on),
        Fault::UnevenColumns(on) => handle.uneven_columns(on),
        Fault::ShortReads(on) => handle.short_reads(on),
        Fault::SizeError(bytes) => handle.lie_about_sizes(bytes),
        Fault::ClockSkewS(seconds) => handle.skew_clock(seconds),
    }
}
