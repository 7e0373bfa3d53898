//! The bodies of PROPFIND, PROPPATCH and LOCK.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raptorgate_fuzz::{Target, webdav};

fuzz_target!(|input: &[u8]| {
    webdav().run(Target::Xml, input);
});
