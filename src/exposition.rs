//! The counters as Prometheus reads them (text format 0.0.4), behind `/-/metrics`.

use std::fmt::Write;

use nfs::{LATENCY_BUCKETS_MICROS, Metrics, ProcedureMetrics};
use serde_json::Value;

/// Every name once, with its type and meaning.
const CALLS: Family = Family("raptorgate_nfs_calls_total", "counter", "Calls answered, by program and procedure");
const FAILURES: Family =
    Family("raptorgate_nfs_failures_total", "counter", "Calls that did not succeed, by what was said");
const HELD: Family = Family("raptorgate_nfs_held_total", "counter", "Calls that had to wait for an endpoint");
const ANSWERS: Family = Family("raptorgate_nfs_answer_bytes_total", "counter", "Bytes of answers, by procedure");
const LATENCY: Family =
    Family("raptorgate_nfs_call_seconds", "histogram", "Time from a call's turn to its answer, waiting included");
const OPEN: Family = Family("raptorgate_nfs_connections", "gauge", "Connections that are open");
const HOLDING: Family = Family("raptorgate_nfs_holding", "gauge", "Calls that are waiting for an endpoint now");
const QUEUED: Family =
    Family("raptorgate_nfs_queued_bytes", "gauge", "Bytes of answers that clients have not taken yet");
const ACCEPTED: Family = Family("raptorgate_nfs_connections_accepted_total", "counter", "Connections taken");
const REFUSED: Family = Family("raptorgate_nfs_connections_refused_total", "counter", "Connections refused at a cap");
const EVICTED: Family = Family(
    "raptorgate_nfs_connections_evicted_total",
    "counter",
    "Connections that never called, closed to make room at a cap",
);
const HANDSHAKES: Family = Family("raptorgate_nfs_tls_handshakes_total", "counter", "TLS handshakes that succeeded");
const HANDSHAKES_REFUSED: Family =
    Family("raptorgate_nfs_tls_handshakes_refused_total", "counter", "TLS handshakes that did not");
const RECEIVED: Family = Family("raptorgate_nfs_received_bytes_total", "counter", "Bytes from clients");
const SENT: Family = Family("raptorgate_nfs_sent_bytes_total", "counter", "Bytes to clients");
const ASKED: Family = Family("raptorgate_server_calls_total", "counter", "What was asked of the Velociraptor server");
const ASKED_IN_VAIN: Family =
    Family("raptorgate_server_failures_total", "counter", "What of that the server did not answer, or refused");

/// Name, type, meaning.
struct Family(&'static str, &'static str, &'static str);

/// All counters: of NFS, and of the calls to the server (`calls`, as the status has them).
pub fn text(nfs: &Metrics, calls: &Value) -> String {
    let mut out = String::with_capacity(16 << 10);
    let used: Vec<&ProcedureMetrics> = nfs.procedures.iter().filter(|procedure| procedure.calls > 0).collect();
    let mut each = |family: &Family, value: fn(&ProcedureMetrics) -> u64| {
        family.begin(&mut out);
        for procedure in &used {
            line(&mut out, family.0, &labels(procedure), &value(procedure).to_string());
        }
    };
    each(&CALLS, |procedure| procedure.calls);
    each(&HELD, |procedure| procedure.held);
    each(&ANSWERS, |procedure| procedure.sent);
    FAILURES.begin(&mut out);
    for procedure in &used {
        for (status, count) in &procedure.failures {
            let labels = format!("{},status=\"{status}\"", labels(procedure));
            line(&mut out, FAILURES.0, &labels, &count.to_string());
        }
    }
    LATENCY.begin(&mut out);
    for procedure in &used {
        histogram(&mut out, procedure);
    }
    let totals = &nfs.connections;
    for (family, value) in [
        (OPEN, totals.open as u64),
        (HOLDING, totals.held as u64),
        (QUEUED, totals.queued as u64),
        (ACCEPTED, totals.accepted),
        (REFUSED, totals.refused),
        (EVICTED, totals.evicted),
        (HANDSHAKES, totals.handshakes),
        (HANDSHAKES_REFUSED, totals.handshakes_refused),
        (RECEIVED, totals.received),
        (SENT, totals.sent),
    ] {
        family.begin(&mut out);
        line(&mut out, family.0, "", &value.to_string());
    }
    for (family, field) in [(ASKED, "calls"), (ASKED_IN_VAIN, "failures")] {
        family.begin(&mut out);
        for (call, figures) in calls.as_object().into_iter().flatten() {
            let count = figures[field].as_u64().unwrap_or(0);
            line(&mut out, family.0, &format!("call=\"{call}\""), &count.to_string());
        }
    }
    out
}

impl Family {
    fn begin(&self, out: &mut String) {
        // Writing to a String does not fail.
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {}", self.0, self.2, self.0, self.1);
    }
}

fn line(out: &mut String, name: &str, labels: &str, value: &str) {
    let _ =
        if labels.is_empty() { writeln!(out, "{name} {value}") } else { writeln!(out, "{name}{{{labels}}} {value}") };
}

/// Program and procedure are names of this program: nothing in them needs escaping.
fn labels(procedure: &ProcedureMetrics) -> String {
    format!("program=\"{}\",procedure=\"{}\"", procedure.program, procedure.procedure)
}

fn histogram(out: &mut String, procedure: &ProcedureMetrics) {
    let labels = labels(procedure);
    let bounds = LATENCY_BUCKETS_MICROS.iter().map(|micros| seconds(*micros)).chain(["+Inf".to_owned()]);
    let mut total = 0;
    for (bound, count) in bounds.zip(procedure.latency) {
        total += count;
        line(out, "raptorgate_nfs_call_seconds_bucket", &format!("{labels},le=\"{bound}\""), &total.to_string());
    }
    line(out, "raptorgate_nfs_call_seconds_sum", &labels, &seconds(procedure.latency_micros));
    line(out, "raptorgate_nfs_call_seconds_count", &labels, &total.to_string());
}

/// Microseconds as a decimal number of seconds, exactly.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use nfs::ConnectionTotals;

    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut latency = [0; LATENCY_BUCKETS_MICROS.len() + 1];
        (latency[0], latency[2], latency[LATENCY_BUCKETS_MICROS.len()]) = (5, 1, 1);
        let used = ProcedureMetrics {
            program: "nfs",
            procedure: "READ",
            calls: 7,
            failed: 2,
            failures: vec![("JUKEBOX", 2)],
            held: 1,
            sent: 700,
            latency,
            latency_micros: 70_000_123,
        };
        let unused = ProcedureMetrics { procedure: "WRITE", calls: 0, ..used.clone() };
        let connections = ConnectionTotals {
            open: 3,
            held: 1,
            queued: 9,
            accepted: 4,
            refused: 1,
            evicted: 0,
            handshakes: 2,
            handshakes_refused: 1,
            received: 10,
            sent: 20,
        };
        let text = text(
            &Metrics { connections, procedures: vec![used, unused] },
            &serde_json::json!({ "read": { "calls": 8, "failures": 1 } }),
        );
        for wanted in [
            "raptorgate_nfs_calls_total{program=\"nfs\",procedure=\"READ\"} 7",
            "raptorgate_nfs_failures_total{program=\"nfs\",procedure=\"READ\",status=\"JUKEBOX\"} 2",
            "raptorgate_nfs_call_seconds_bucket{program=\"nfs\",procedure=\"READ\",le=\"0.00001\"} 5",
            "raptorgate_nfs_call_seconds_bucket{program=\"nfs\",procedure=\"READ\",le=\"60\"} 6",
            "raptorgate_nfs_call_seconds_bucket{program=\"nfs\",procedure=\"READ\",le=\"+Inf\"} 7",
            "raptorgate_nfs_call_seconds_sum{program=\"nfs\",procedure=\"READ\"} 70.000123",
            "raptorgate_nfs_connections 3",
            "raptorgate_nfs_tls_handshakes_total 2",
            "raptorgate_nfs_tls_handshakes_refused_total 1",
            "raptorgate_server_calls_total{call=\"read\"} 8",
            "raptorgate_server_failures_total{call=\"read\"} 1",
        ] {
            assert!(text.lines().any(|line| line == wanted), "{wanted} is not in:\n{text}");
        }
        assert!(!text.contains("WRITE"));
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect::<Vec<_>>();
        assert_eq!(names.len(), names.iter().collect::<std::collections::BTreeSet<_>>().len(), "each name once");
    }
}
