//! Lines of JSON as they arrive.

use anyhow::{Context, bail};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

/// No line is longer.
const MAX_LINE: usize = 1 << 20;

/// The lines of an answer.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    unread: Vec<u8>,
}

impl Lines {
    pub(super) fn new(body: Incoming) -> Lines {
        Lines { body, unread: Vec::new() }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// If the connection breaks or the line is no JSON.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(line) = take_line(&mut self.unread) {
                return Ok(Some(serde_json::from_slice(&line).context("the gateway's answer is not understood")?));
            }
            if self.unread.len() > MAX_LINE {
                bail!("the gateway's answer is not understood: its line does not end");
            }
            let Some(frame) = self.body.frame().await else {
                return if self.unread.is_empty() { Ok(None) } else { bail!("the gateway's answer broke off") };
            };
            let frame = frame.context("the connection to the gateway broke: it may have ended; the work may go on")?;
            if let Some(data) = frame.data_ref() {
                self.unread.extend_from_slice(data);
            }
        }
    }
}

/// Takes the first line off `unread`, without its end.
fn take_line(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = unread.iter().position(|byte| *byte == b'\n')?;
    let rest = unread.split_off(end + 1);
    let mut line = std::mem::replace(unread, rest);
    line.pop();
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_one_by_one_and_half_a_line_waits() {
        let mut unread = b"{}\n\n[1".to_vec();
        assert_eq!(take_line(&mut unread).as_deref(), Some(&b"{}"[..]));
        assert_eq!(take_line(&mut unread).as_deref(), Some(&b""[..]));
        assert_eq!(take_line(&mut unread), None);
        assert_eq!(unread, b"[1");
    }
}
