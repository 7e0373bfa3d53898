//! What verbs print: tables, sizes, ages, and progress that stays on one line of a terminal.

use std::io::{IsTerminal, Write, stdout};

/// Prints rows under a header, columns as wide as they need.
pub fn table(header: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = header.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(printable(cell).chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say(padded.join("  ").trim_end());
    };
    line(&mut header.iter().map(|title| (*title).to_owned()));
    for row in rows {
        line(&mut row.iter().map(|cell| printable(cell)));
    }
}

/// Prints a line. A reader who went away (`| head`) is no error.
pub fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// Names on endpoints are an attacker's to choose: control characters must not reach the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// A size for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in UNITS {
        if count >> shift > 0 {
            let tenths = (u128::from(count) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} B")
}

/// How long ago, for people.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Progress that replaces itself on a terminal, and is a line each elsewhere.
pub struct Progress {
    terminal: bool,
    last: String,
}

impl Progress {
    /// Nothing was shown yet.
    pub fn new() -> Progress {
        Progress { terminal: stdout().is_terminal(), last: String::new() }
    }

    /// Shows how far it is.
    pub fn show(&mut self, text: &str) {
        let text = printable(text);
        if text == self.last {
            return;
        }
        if self.terminal {
            let blank = " ".repeat(self.last.chars().count().saturating_sub(text.chars().count()));
            let mut out = stdout();
            let _ = write!(out, "\r{text}{blank}").and_then(|()| out.flush());
        } else {
            say(&text);
        }
        self.last = text;
    }

    /// Shows the end.
    pub fn end(mut self, text: &str) {
        self.show(text);
        if self.terminal {
            say("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([age(59), age(60), age(7200), age(86_400 * 3)], ["59 s", "1 min", "2 h", "3 days"]);
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
