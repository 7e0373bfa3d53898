//! How the end of a job is learnt, and what it means.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use velociraptor_proto::proto::artifact_collector_context::State;
use vfs::backend::{Cause, Complaint, Failure, Job, Outcome};

use super::{BOTH, FLOW, Stage, endpoint, finished, list, listing, pass, path, stats};
use crate::artifacts;
use crate::server::fake::{fixture, flow};

const FILE: &str = "-rw-r--r--";

fn small(stage: &Stage) -> Job {
    stage.server.set_table(FLOW, artifacts::LISTING, listing(&[(&["srv", "a"], FILE), (&["srv", "b"], FILE)]));
    stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["srv"], 0, 2)]));
    stage.start(list(path(&["srv"]), 0))
}

#[tokio::test(start_paused = true)]
async fn a_small_listing_costs_two_calls_after_its_event() {
    let stage = Stage::new();
    let job = small(&stage);
    let ending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.set_state(State::Finished, &BOTH);
        stage.server.tell_end(FLOW);
    };
    let (seen, ()) = tokio::join!(stage.watch(&job), ending);
    assert!(seen.delivered);
    assert_eq!(seen.outcome, finished(None));
    assert_eq!(seen.listed[0].rows.iter().map(|row| row.name()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(&*seen.listed[0].observation.by, "alice");
    assert_eq!((stage.server.calls("flow"), stage.server.calls("table")), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_flow_whose_event_never_comes_is_found_by_asking() {
    let stage = Stage::new();
    for may_watch in [true, false] {
        stage.server.may_watch.store(may_watch, Ordering::Relaxed);
        let job = small(&stage);
        let ending = async {
            pass(5).await;
            stage.set_state(State::Finished, &BOTH);
        };
        let begun = tokio::time::Instant::now();
        let (seen, ()) = tokio::join!(stage.watch(&job), ending);
        assert_eq!((seen.listed.len(), seen.outcome), (1, finished(None)));
        assert!(begun.elapsed() < Duration::from_secs(7));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_tells_of_no_end_is_connected_anew() {
    let stage = Stage::new();
    for flow in 0..4 {
        let job = small(&stage);
        let ending = async {
            pass(5).await;
            stage.set_state(State::Finished, &BOTH);
            if flow == 3 {
                stage.server.tell_end(FLOW);
            }
        };
        let (seen, ()) = tokio::join!(stage.watch(&job), ending);
        assert_eq!(seen.outcome, finished(None));
        pass(2).await;
        assert_eq!(stage.server.calls("completions"), if flow < 2 { 1 } else { 2 }, "after flow {flow}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_is_waited_for() {
    let stage = Stage::new();
    let job = small(&stage);
    let trouble = async {
        pass(2).await;
        stage.server.down.store(true, Ordering::Relaxed);
        pass(120).await;
        stage.set_state(State::Finished, &BOTH);
        stage.server.down.store(false, Ordering::Relaxed);
    };
    let (seen, ()) = tokio::join!(stage.watch(&job), trouble);
    assert_eq!((seen.listed.len(), seen.outcome), (1, finished(None)));
}

#[tokio::test(start_paused = true)]
async fn queued_is_not_delivered_and_cancelled_is_no_result() {
    let stage = Stage::new();
    let job = small(&stage);
    let cancelling = async {
        pass(30).await;
        stage.set_failed("Cancelled by somebody", &[]);
    };
    let (seen, ()) = tokio::join!(stage.watch(&job), cancelling);
    assert!(!seen.delivered && seen.listed.is_empty());
    let expected = Outcome::Failed { failure: Failure::Cancelled, message: "Cancelled by somebody".into() };
    assert_eq!(seen.outcome, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn everybody_who_watches_sees_everything_for_the_price_of_one() {
    let stage = Stage::new();
    let job = small(&stage);
    let ending = async {
        pass(1).await;
        stage.set_state(State::Finished, &BOTH);
        stage.server.tell_end(FLOW);
    };
    let (first, second, ()) = tokio::join!(stage.watch(&job), stage.watch(&job), ending);
    assert_eq!((first.listed.len(), second.listed.len()), (1, 1));
    assert_eq!(stage.server.calls("table"), 2);
    // Whoever comes when it is over reads it again.
    let third = stage.watch(&job).await;
    assert_eq!((third.outcome, third.listed.len()), (finished(None), 0), "this server did not keep the request");
}

#[tokio::test(start_paused = true)]
async fn nobody_looking_means_nobody_asking() {
    let stage = Stage::new();
    let job = small(&stage);
    let mut events = stage.shared.watch(&job);
    assert!(tokio::time::timeout(Duration::from_secs(10), events.next()).await.is_err());
    drop(events);
    pass(10).await;
    let calls = stage.server.calls("flow");
    pass(100).await;
    assert_eq!(stage.server.calls("flow"), calls);
    stage.set_state(State::Finished, &BOTH);
    assert_eq!(stage.watch(&job).await.listed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_the_server_forgot_has_failed() {
    let stage = Stage::new();
    let job = Job { endpoint: endpoint(), id: "F.1".into() };
    let seen = stage.watch(&job).await;
    assert!(matches!(seen.outcome, Some(Outcome::Failed { failure: Failure::Error, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_an_earlier_process_is_read_from_the_server() {
    let stage = Stage::new();
    let context = flow("flow_finished_full");
    let id = context.session_id.clone();
    stage.server.set_flow(context);
    let mut rows: velociraptor_proto::proto::GetTableResponse = fixture("table_listing");
    rows.rows.truncate(5);
    stage.server.set_table(&id, artifacts::LISTING, rows);
    stage.server.set_table(&id, artifacts::STATS, stats(&[(&["srv", "evidence", "small"], 0, 5)]));
    let seen = stage.watch(&Job { endpoint: endpoint(), id: id.as_str().into() }).await;
    assert_eq!(seen.listed[0].directory, path(&["srv", "evidence", "small"]));
    assert_eq!(seen.listed[0].rows.len(), 5);
    assert_eq!(seen.listed[0].rows.row(0).unwrap().link(), Some("/nonexistent/x"));
    assert_eq!(&*seen.listed[0].observation.by, "vfsgw");
    assert_eq!(seen.listed[0].observation.started.seconds, 1_795_528_426);
    assert!(seen.listed[0].observation.seen.seconds < 1_795_528_500, "seen when the flow ended, not now");
}

#[tokio::test(start_paused = true)]
async fn rows_that_do_not_agree_with_the_statistics_are_no_listing() {
    let stage = Stage::new();
    let job = stage.start(list(path(&["srv", "evidence", "small"]), 0));
    stage.set_state(State::Finished, &BOTH);
    // The server has 5 rows, the endpoint counted 12.
    let mut rows: velociraptor_proto::proto::GetTableResponse = fixture("table_listing");
    rows.rows.truncate(5);
    stage.server.set_table(FLOW, artifacts::LISTING, rows);
    stage.server.set_table(FLOW, artifacts::STATS, fixture("table_stats"));
    let seen = stage.watch(&job).await;
    assert!(seen.listed.is_empty());
    assert!(matches!(seen.outcome, Some(Outcome::Failed { failure: Failure::Error, .. })), "{:?}", seen.outcome);
}

#[tokio::test(start_paused = true)]
async fn tables_that_come_late_to_the_servers_disk_are_waited_for() {
    let stage = Stage::new();
    let job = stage.start(list(path(&["srv"]), 0));
    stage.set_state(State::Finished, &BOTH);
    let late = async {
        tokio::time::sleep(Duration::from_millis(420)).await;
        stage.server.set_table(FLOW, artifacts::LISTING, listing(&[(&["srv", "a"], FILE), (&["srv", "b"], FILE)]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        stage.server.set_table(FLOW, artifacts::STATS, stats(&[(&["srv"], 0, 2)]));
    };
    let (seen, ()) = tokio::join!(stage.watch(&job), late);
    assert_eq!((seen.listed[0].rows.len(), seen.outcome), (2, finished(None)));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_not_empty() {
    for (name, log, cause) in [
        ("flow_list_missing", "table_log_missing", Cause::Absent),
        ("flow_list_denied", "table_log_denied", Cause::Denied),
    ] {
        let stage = Stage::new();
        let job = stage.start(list(path(&["srv", "evidence", "nope"]), 0));
        let mut context = flow(name);
        context.session_id = FLOW.into();
        stage.server.set_flow(context);
        // The reason is lost in a quarter of all cases: then it is not known.
        let silent = stage.watch(&job).await;
        let Some(Outcome::Finished { complaint: Some(Complaint { cause: Cause::Unknown, .. }) }) = silent.outcome
        else {
            panic!("{:?}", silent.outcome)
        };
        assert!(silent.listed.is_empty());
        stage.server.set_table(FLOW, "log", fixture(log));
        let job = stage.start(list(path(&["srv", "evidence", "nope"]), 0));
        let mut context = flow(name);
        context.session_id = FLOW.into();
        stage.server.set_flow(context);
        let seen = stage.watch(&job).await;
        let Some(Outcome::Finished { complaint: Some(complaint) }) = seen.outcome else { panic!("{:?}", seen.outcome) };
        assert_eq!(complaint.cause, cause, "{complaint:?}");
        assert!(seen.listed.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_task_is_told_from_a_failed_one() {
    for (name, failure) in
        [("flow_lost", Failure::Lost), ("flow_cancelled", Failure::Cancelled), ("flow_overlimit", Failure::Limit)]
    {
        let stage = Stage::new();
        let job = stage.start(list(path(&["srv"]), 0));
        let mut context = flow(name);
        context.session_id = FLOW.into();
        stage.server.set_flow(context);
        let seen = stage.watch(&job).await;
        let Some(Outcome::Failed { failure: found, .. }) = seen.outcome else { panic!("{:?}", seen.outcome) };
        assert_eq!(found, failure, "{name}");
    }
}
