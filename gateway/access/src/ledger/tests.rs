//! The chain holds, notices what was altered, and goes on after a kill.

use vfs::SystemClock;

use super::*;

fn event(path: &str) -> Event {
    Event::FlowStarted {
        at: Timestamp::new(5, 6),
        principal: "alice".into(),
        endpoint: "C.1".into(),
        job: "F.1".into(),
        reason: format!("nfs READ {path}").into(),
    }
}

fn open(state: &Path) -> Ledger {
    Ledger::open(state, Arc::new(SystemClock)).unwrap()
}

/// A ledger with one line for the start and one for each of `paths`.
fn written(state: &Path, paths: &[&str]) -> PathBuf {
    let ledger = open(state);
    for path in paths {
        ledger.record(event(path));
    }
    ledger.path().to_owned()
}

fn broken_at(path: &Path) -> u64 {
    match verify(path).unwrap_err() {
        LedgerError::Broken { line, .. } => line,
        error => panic!("{error}"),
    }
}

#[test]
fn what_is_recorded_is_chained_across_restarts() {
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &["a", "b"]);
    let before = verify(&path).unwrap();
    assert_eq!((before.lines, before.unfinished), (3, false));
    written(state.path(), &["c"]);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(verify(&path).unwrap().lines, 5);
    assert!(text.lines().nth(3).unwrap().contains(&before.head));
    assert!(text.lines().nth(4).unwrap().contains("nfs READ c"));
}

#[test]
fn an_altered_removed_or_moved_line_breaks_the_chain() {
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &["a", "b", "c"]);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let with = |lines: &[&str]| fs::write(&path, lines.join("\n") + "\n").unwrap();

    fs::write(&path, text.replace("READ b", "READ B")).unwrap();
    assert_eq!(broken_at(&path), 3);
    with(&[lines[0], lines[1], lines[3]]);
    assert_eq!(broken_at(&path), 3);
    with(&[lines[0], lines[2], lines[1], lines[3]]);
    assert_eq!(broken_at(&path), 2);
    let (forged, _) = line::seal(2, BEGINNING_OF_ANOTHER, "{}");
    with(&[lines[0], &forged]);
    assert_eq!(broken_at(&path), 2);
    with(&lines);
    verify(&path).unwrap();
}

const BEGINNING_OF_ANOTHER: &str = "1111111111111111111111111111111111111111111111111111111111111111";

#[test]
fn half_a_line_is_put_aside_and_the_chain_goes_on_and_says_so() {
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &["a", "b"]);
    let text = fs::read_to_string(&path).unwrap();
    for (round, cut) in [1, 40, 200].into_iter().enumerate() {
        fs::write(&path, &text[..text.len() - cut]).unwrap();
        assert!(verify(&path).unwrap().unfinished);
        written(state.path(), &["c"]);
        let torn = fs::read_to_string(state.path().join(format!("ledger/torn-{}", round + 1))).unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(torn, last[..last.len() + 1 - cut]);
        let now = fs::read_to_string(&path).unwrap();
        assert!(now.lines().nth(2).unwrap().contains(&format!("\"kept\":\"torn-{}\"", round + 1)), "{now}");
        assert_eq!(verify(&path).unwrap().lines, 5);
    }
}

#[test]
fn zeros_after_a_power_failure_are_put_aside() {
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &["a"]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0; 5_000]);
    fs::write(&path, bytes).unwrap();
    written(state.path(), &["b"]);
    assert_eq!(verify(&path).unwrap().lines, 5);
    assert_eq!(fs::read(state.path().join("ledger/torn-1")).unwrap(), [0; 5_000]);
}

#[test]
fn a_line_altered_in_the_middle_is_left_for_verification_to_find() {
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &["a", "b"]);
    let text = fs::read_to_string(&path).unwrap().replace("READ a", "READ A");
    fs::write(&path, &text).unwrap();
    written(state.path(), &["c"]);
    assert!(fs::read_to_string(&path).unwrap().starts_with(&text));
    assert_eq!(broken_at(&path), 2);
}

#[test]
fn flows_of_earlier_runs_are_told_at_the_start() {
    let state = tempfile::tempdir().unwrap();
    written(state.path(), &["a"]);
    let ledger = open(state.path());
    let flow = RecordedFlow {
        principal: Principal::new("alice"),
        endpoint: EndpointId::root_org("C.1"),
        at: Timestamp::new(5, 6),
    };
    assert_eq!(ledger.recent_flows(), [flow]);
}

#[test]
fn an_event_larger_than_any_line_is_shortened_and_the_chain_holds() {
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &["a", &"x".repeat(2 << 20), "b"]);
    assert_eq!(verify(&path).unwrap().lines, 4);
    assert!(fs::read_to_string(&path).unwrap().contains("\"event\":\"oversized\""));
}

#[test]
fn the_ledger_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let state = tempfile::tempdir().unwrap();
    let path = written(state.path(), &["a"]);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}
