//! Tests that cannot run on this machine: said on stderr, and counted.

use std::fs::OpenOptions;
use std::io::Write;

/// Ends the test as skipped.
macro_rules! skip {
    ($($why:tt)*) => {{
        $crate::support::skip::record(&format!($($why)*));
        return;
    }};
}
pub(crate) use skip;

/// Ends the test as skipped when there is something in the way.
macro_rules! skip_if {
    ($obstacle:expr) => {
        if let Some(why) = $obstacle {
            $crate::support::skip::skip!("{why}");
        }
    };
}
pub(crate) use skip_if;

/// Tells `tests/run`, which counts the lines of the file named by `RAPTORGATE_SKIPPED`.
pub fn record(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {}\n", thread.name().unwrap_or("a test"), why.trim().replace('\n', " "));
    eprint!("skipped: {line}");
    if let Some(path) = std::env::var_os("RAPTORGATE_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file that counts skipped tests");
    }
}
