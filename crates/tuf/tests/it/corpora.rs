//! The bodies of the fuzz targets on the inputs that are kept in `fuzz/`, and on some that are new each
//! time.
//!
//! An input that once broke something lies in `fuzz/regressions/`, so that it stays tested here, without
//! a fuzzer.

use std::panic::catch_unwind;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use waxseal_testkit::fuzzing::{self, kept_inputs};

type Body = fn(&[u8]);

/// Runs every kept input, and names the one that fails.
fn run_kept(target: &str, body: Body) {
    for (path, input) in kept_inputs(target) {
        let held = catch_unwind(|| body(&input)).is_ok();
        assert!(held, "{path} breaks what {target} promises, as said above");
    }
}

#[test]
fn kept_canonical_json() {
    run_kept("canonical_json", fuzzing::canonical_json);
}

#[test]
fn kept_metadata() {
    run_kept("metadata", fuzzing::metadata);
}

#[test]
fn kept_keys_and_signatures() {
    run_kept("keys_and_signatures", fuzzing::keys_and_signatures);
}

#[test]
fn kept_delegation_search() {
    run_kept("delegation_search", fuzzing::delegation_search);
}

#[test]
fn kept_update_session() {
    run_kept("update_session", fuzzing::update_session);
}

/// A kept input with some bytes replaced and its end cut off or drawn out.
fn changed(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let kept: Vec<Vec<u8>> = kept_inputs(target).into_iter().map(|(_, input)| input).collect();
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let (end, more) = (any::<prop::sample::Index>(), vec(any::<u8>(), 0..40));
    (prop::sample::select(kept), changes, any::<bool>(), end, more).prop_map(
        |(mut input, changes, cut, end, more)| {
            for (at, byte) in changes.into_iter().filter(|_| !input.is_empty()).collect::<Vec<_>>()
            {
                let at = at.index(input.len());
                input[at] = byte;
            }
            if cut {
                input.truncate(end.index(input.len() + 1));
            }
            input.extend(more);
            input
        },
    )
}

fn run_changed(target: &str, body: Body) {
    run_new(300, &changed(target), body);
}

fn run_new(cases: u32, inputs: &impl Strategy<Value = Vec<u8>>, body: Body) {
    // What is found goes into `fuzz/regressions/`, where the fuzzer has it too.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let run = TestRunner::new(config).run(inputs, |input| {
        body(&input);
        Ok(())
    });
    run.unwrap();
}

/// Texts that are nearly JSON: single bytes changed in a text are seldom JSON again.
#[test]
fn new_canonical_json() {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "\\",
        "\\u00",
        "0",
        "-",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "1.0",
        "null",
        "true",
        "false",
        " ",
        "\n",
        "\"\u{e9}\":",
        "{\"a\":1,\"b\":[]}",
        "[1,2]",
        "\u{1}",
        "\u{7f}",
    ];
    let text = vec(prop::sample::select(tokens.to_vec()), 0..12);
    let text = text.prop_map(|tokens| tokens.concat().into_bytes());
    run_new(2000, &text, fuzzing::canonical_json);
    run_changed("canonical_json", fuzzing::canonical_json);
}

#[test]
fn new_metadata() {
    run_changed("metadata", fuzzing::metadata);
}

#[test]
fn new_keys_and_signatures() {
    run_changed("keys_and_signatures", fuzzing::keys_and_signatures);
}

#[test]
fn new_delegation_search() {
    run_changed("delegation_search", fuzzing::delegation_search);
}

#[test]
fn new_update_session() {
    run_changed("update_session", fuzzing::update_session);
}
