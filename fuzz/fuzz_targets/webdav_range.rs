//! The `Range` header (RFC 9110 §14.2), with and without a condition.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raptorgate_fuzz::{Target, webdav};

fuzz_target!(|input: &[u8]| {
    webdav().run(Target::Range, input);
});
