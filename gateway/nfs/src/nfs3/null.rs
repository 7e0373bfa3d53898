//! NULL (RFC 1813 §3.3.0).

use crate::rpc::Answer;

pub(super) fn call() -> Answer {
    Answer::Written
}
