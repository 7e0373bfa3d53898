//! MOUNT: version, procedure, arguments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raptorgate_fuzz::harness;

fuzz_target!(|input: &[u8]| {
    let input = harness().adopt(input);
    harness().call(100_005, &input);
});
