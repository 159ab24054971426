#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_testkit::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::canonical_json(input));
