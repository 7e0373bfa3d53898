//! The table.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// All rows so far.
#[derive(Default)]
pub struct Report(Vec<Row>);

struct Row {
    work: String,
    reached: String,
    goal: &'static str,
    naive: String,
}

impl Report {
    /// Adds a row, and shows it at once.
    pub fn row(
        &mut self,
        work: impl Into<String>,
        reached: impl Into<String>,
        goal: &'static str,
        naive: impl Into<String>,
    ) {
        let row = Row { work: work.into(), reached: reached.into(), goal, naive: naive.into() };
        eprintln!("{row}");
        self.0.push(row);
    }

    /// Says why something was not measured.
    pub fn skip(&mut self, work: &str, why: &str) {
        self.row(work, format!("not measured: {why}"), "", "");
    }
}

impl Display for Report {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        writeln!(to, "| work | reached | goal | naive |\n|---|---|---|---|")?;
        self.0.iter().try_for_each(|row| writeln!(to, "{row}"))
    }
}

impl Display for Row {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "| {} | {} | {} | {} |", self.work, self.reached, self.goal, self.naive)
    }
}

/// The middle one.
pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// `12.3 s`, `45 ms`, or hours.
pub fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 600.0 => format!("{seconds:.1} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

/// How many times as long.
pub fn ratio(one: Duration, other: Duration) -> String {
    format!("{:.2} x", one.as_secs_f64() / other.as_secs_f64())
}
