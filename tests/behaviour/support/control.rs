//! The switches of the simulated Velociraptor deployment.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

/// The control socket of a demo: one JSON line for each question, one for each answer.
pub struct Control {
    socket: PathBuf,
}

impl Control {
    /// The switches of the demo with this state folder.
    pub fn of(state: &Path) -> Control {
        Control { socket: state.join("simulator/control.sock") }
    }

    /// Asks, and gives the answer.
    #[track_caller]
    pub fn ask(&self, question: &Value) -> Value {
        let mut stream =
            UnixStream::connect(&self.socket).unwrap_or_else(|error| panic!("{}: {error}", self.socket.display()));
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        writeln!(stream, "{question}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{question}: {error}: {answer:?}"));
        assert!(answer.get("error").is_none(), "{question}: {answer}");
        answer
    }

    /// Takes an endpoint off the network.
    pub fn take_offline(&self, client: &str) {
        self.ask(&json!({ "offline": client }));
    }

    /// Brings it back.
    pub fn bring_online(&self, client: &str) {
        self.ask(&json!({ "online": client }));
    }

    /// What the server counted since it started.
    pub fn counters(&self) -> Value {
        self.ask(&json!({ "counters": {} }))["counters"].take()
    }

    /// Flows started on all endpoints since the server started.
    #[track_caller]
    pub fn flows(&self) -> u64 {
        let counters = self.counters();
        assert!(counters["flows"].is_object(), "no flows in {counters}");
        sum(&counters["flows"])
    }
}

/// The sum of all numbers in a value.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        Value::Object(parts) => parts.values().map(sum).sum(),
        _ => 0,
    }
}
