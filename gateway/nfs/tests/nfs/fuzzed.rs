//! Every input of the fuzzers' corpus (calls of real clients, `fuzz/corpus`), as it is and changed at random: no panic, no reply that is
//! none or too long, no memory that stays, and the server goes on serving.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::harness::Harness;

/// How an input is changed.
#[derive(Debug, Clone)]
enum Change {
    /// One byte becomes another.
    Byte(usize, u8),
    /// A word becomes one that breaks limits.
    Word(usize, u32),
    /// The rest is cut off.
    Cut(usize),
    /// A part comes twice.
    Repeat(usize, usize),
    /// Bytes are put in.
    Insert(usize, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop_oneof![
        Just(0u32),
        Just(1),
        Just(u32::MAX),
        Just(1 << 31),
        Just((1 << 31) - 1),
        Just(65),
        Just(400),
        Just(401),
        any::<u32>(),
    ];
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (any::<usize>(), words).prop_map(|(at, word)| Change::Word(at, word)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1usize..200).prop_map(|(at, length)| Change::Repeat(at, length)),
        (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

fn apply(mut input: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = input.len().max(1);
        match change {
            Change::Byte(at, byte) => input.iter_mut().skip(at % length).take(1).for_each(|old| *old = *byte),
            Change::Word(at, word) => {
                let at = at % length / 4 * 4;
                input.iter_mut().skip(at).zip(word.to_be_bytes()).for_each(|(old, new)| *old = new);
            }
            Change::Cut(at) => input.truncate(at % length),
            Change::Repeat(at, count) => {
                let at = at % length;
                let part: Vec<u8> = input.iter().skip(at).take(*count).copied().collect();
                input.splice(at.min(input.len())..at.min(input.len()), part);
            }
            Change::Insert(at, bytes) => {
                let at = (at % length).min(input.len());
                input.splice(at..at, bytes.iter().copied());
            }
        }
    }
    input
}

/// All inputs with the target that each is for.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut inputs = Vec::new();
    for target in fs::read_dir(folder).expect("the corpus") {
        let target = target.unwrap();
        let mut names: Vec<_> = fs::read_dir(target.path()).unwrap().map(|file| file.unwrap().path()).collect();
        names.sort();
        let target = target.file_name().into_string().unwrap();
        if target.starts_with("webdav") {
            continue;
        }
        inputs.extend(names.iter().map(|path| (target.clone(), fs::read(path).unwrap())));
    }
    inputs.sort();
    inputs
}

fn run(harness: &Harness, target: &str, input: &[u8]) -> Vec<Vec<u8>> {
    let input = harness.adopt(input);
    match target {
        "records" => harness.send(&input),
        "header" => harness.record(&input),
        "nfs" => harness.call(100_003, &input),
        "mount" => harness.call(100_005, &input),
        "portmap" => harness.call(100_000, &input),
        "locks" => [100_021, 100_024].into_iter().flat_map(|program| harness.call(program, &input)).collect(),
        other => panic!("no such target: {other}"),
    }
}

/// Memory of this process in bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[test]
fn calls_of_real_clients_changed_at_random_do_no_harm() {
    let harness = Harness::start();
    let inputs = corpus();
    assert!(inputs.len() > 100, "{} inputs", inputs.len());
    let mut answered = 0;
    for (target, input) in &inputs {
        answered += usize::from(!run(&harness, target, input).is_empty());
    }
    // Whole calls of real clients are answered, but for the messages of NLM whose answer is a call.
    assert!(answered * 10 > inputs.len() * 8, "{answered} of {} are answered", inputs.len());
    let before = resident();
    let cases = std::env::var("RAPTORGATE_FUZZ_CASES").ok().map_or(20_000, |value| value.parse().expect("a number"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let strategy = (0..inputs.len(), proptest::collection::vec(change(), 1..5));
    let ran = runner.run(&strategy, |(which, changes)| {
        let (target, input) = &inputs[which];
        run(&harness, target, &apply(input.clone(), &changes));
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    assert!(harness.is_well());
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB more than before", grown >> 20);
}
