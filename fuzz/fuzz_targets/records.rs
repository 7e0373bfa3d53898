//! Record marking (RFC 5531 §11): the bytes of a connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raptorgate_fuzz::harness;

fuzz_target!(|input: &[u8]| {
    let input = harness().adopt(input);
    harness().send(&input);
});
