//! The `If` header (RFC 4918 §10.4), lock tokens, entity tags.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raptorgate_fuzz::{Target, webdav};

fuzz_target!(|input: &[u8]| {
    webdav().run(Target::If, input);
});
