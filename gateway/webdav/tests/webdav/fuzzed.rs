//! Every input of the fuzzers' corpus (`fuzz/corpus/webdav_*`), as it is and changed at random: no panic, no answer that is none, no hanging
//! connection, no memory that stays, and the server goes on serving.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::{Harness, Target};

/// How an input is changed.
#[derive(Debug, Clone)]
enum Change {
    /// One byte becomes another.
    Byte(usize, u8),
    /// The rest is cut off.
    Cut(usize),
    /// A part comes many times.
    Repeat(usize, usize, usize),
    /// Something is put in that means something somewhere.
    Insert(usize, &'static [u8]),
    /// Bytes are put in.
    Bytes(usize, Vec<u8>),
}

const WORDS: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b"%",
    b"%00",
    b"%2f",
    b"..",
    b"/",
    b"<",
    b"<a>",
    b"</a>",
    b"<!DOCTYPE a>",
    b"<![CDATA[",
    b"<!--",
    b"&lt;",
    b"&#0;",
    b"xmlns=\"\"",
    b"-",
    b",",
    b"18446744073709551615",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"\xff\xfe",
];

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1usize..60, 1usize..300).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        (any::<usize>(), 0..WORDS.len()).prop_map(|(at, word)| Change::Insert(at, WORDS[word])),
        (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Change::Bytes(at, bytes)),
    ]
}

fn apply(mut input: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: &usize| at % (input.len() + 1);
        match change {
            Change::Byte(at, byte) => {
                let at = place(at);
                input.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
            }
            Change::Cut(at) => input.truncate(place(at)),
            Change::Repeat(at, length, times) => {
                let at = place(at);
                let part: Vec<u8> = input.iter().skip(at).take(*length).copied().collect();
                input.splice(at..at, part.repeat(*times));
            }
            Change::Insert(at, bytes) => {
                let at = place(at);
                input.splice(at..at, bytes.iter().copied());
            }
            Change::Bytes(at, bytes) => {
                let at = place(at);
                input.splice(at..at, bytes.iter().copied());
            }
        }
    }
    input
}

/// All inputs with the target that each is for.
fn corpus() -> Vec<(Target, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let targets = [
        ("webdav_requests", Target::Requests),
        ("webdav_xml", Target::Xml),
        ("webdav_path", Target::Path),
        ("webdav_range", Target::Range),
        ("webdav_if", Target::If),
    ];
    let mut inputs = Vec::new();
    for (name, target) in targets {
        let mut files: Vec<_> = fs::read_dir(folder.join(name)).expect(name).map(|file| file.unwrap().path()).collect();
        files.sort();
        inputs.extend(files.iter().map(|path| (target, fs::read(path).unwrap())));
    }
    inputs
}

/// Memory of this process in bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[test]
fn requests_of_real_clients_changed_at_random_do_no_harm() {
    let harness = Harness::start();
    let inputs = corpus();
    assert!(inputs.len() > 40, "{} inputs", inputs.len());
    for (target, input) in &inputs {
        harness.run(*target, input);
    }
    let before = resident();
    let cases = std::env::var("RAPTORGATE_FUZZ_CASES").ok().map_or(4_000, |value| value.parse().expect("a number"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let strategy = (0..inputs.len(), proptest::collection::vec(change(), 1..4));
    let ran = runner.run(&strategy, |(which, changes)| {
        let (target, input) = &inputs[which];
        harness.run(*target, &apply(input.clone(), &changes));
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    assert!(harness.is_well());
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB more than before", grown >> 20);
}
