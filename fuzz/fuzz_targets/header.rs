//! The head of a call and its credential (RFC 5531 §9): one record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raptorgate_fuzz::harness;

fuzz_target!(|input: &[u8]| {
    let input = harness().adopt(input);
    harness().record(&input);
});
