//! Caps, evictions and what is given back.

use super::*;
use crate::peer::Policies;
use crate::rpc::Transport;

fn peer(address: &str) -> Arc<Peer> {
    let (address, local) = (address.parse().unwrap(), "127.0.0.1:2049".parse().unwrap());
    Arc::new(Peer::new(address, local, Transport::Tcp, &Policies::default()))
}

#[test]
fn a_peer_at_its_cap_does_not_keep_others_out() {
    let table = Table::new(Limits { connections: 3, connections_per_peer: 2, ..Limits::default() });
    let first = table.admit(&peer("192.0.2.1:1")).unwrap();
    let _second = table.admit(&peer("192.0.2.1:2")).unwrap();
    assert!(table.admit(&peer("192.0.2.1:3")).is_none());
    let _other = table.admit(&peer("192.0.2.2:1")).unwrap();
    assert!(table.admit(&peer("192.0.2.3:1")).is_none());
    drop(first);
    assert!(table.admit(&peer("192.0.2.1:3")).is_some());
    assert_eq!((table.totals().accepted, table.totals().refused), (4, 2));
}

#[tokio::test]
async fn at_a_cap_the_oldest_that_never_called_makes_room_and_those_that_called_stay() {
    let table = Table::new(Limits { connections: 4, connections_per_peer: 3, ..Limits::default() });
    let admit = |address: &str| {
        let slot = table.admit(&peer(address))?;
        let task = tokio::spawn(std::future::pending::<()>());
        table.can_be_evicted(slot.place(), task.abort_handle());
        Some((slot, task))
    };
    let (caller, _task) = admit("192.0.2.1:1").unwrap();
    caller.called();
    let (_second, second) = admit("192.0.2.1:2").unwrap();
    let (_third, third) = admit("192.0.2.1:3").unwrap();
    let (fourth, _task) = admit("192.0.2.1:4").unwrap();
    assert!(second.await.unwrap_err().is_cancelled() && !third.is_finished());
    fourth.called();
    let (_other, other) = admit("192.0.2.2:1").unwrap();
    // All places are taken: the oldest of anybody goes.
    let (_another, _task) = admit("192.0.2.3:1").unwrap();
    assert!(third.await.unwrap_err().is_cancelled() && !other.is_finished());
    let totals = table.totals();
    assert_eq!((totals.open, totals.evicted, totals.refused), (4, 2, 0));
}

#[test]
fn those_that_called_are_not_evicted_for_anybody() {
    let table = Table::new(Limits { connections: 1, ..Limits::default() });
    let slot = table.admit(&peer("192.0.2.1:1")).unwrap();
    slot.called();
    assert!(table.admit(&peer("192.0.2.2:1")).is_none());
    assert!(table.may_complain() && !table.may_complain());
}

#[test]
fn what_waits_for_all_sockets_is_added_up_and_given_back() {
    let table = Table::new(Limits { queued_bytes_total: 100, ..Limits::default() });
    let (one, two) = (table.admit(&peer("192.0.2.1:1")).unwrap(), table.admit(&peer("192.0.2.1:2")).unwrap());
    one.note_queued(60);
    two.note_queued(60);
    assert!(one.is_pressed() && table.totals().queued == 120);
    one.note_queued(10);
    assert!(!two.is_pressed());
    drop(two);
    assert_eq!(table.totals().queued, 10);
}

#[test]
fn unfinished_records_are_bounded_for_all_together_but_small_calls_always_pass() {
    let table = Table::new(Limits { unfinished_bytes: 100_000, ..Limits::default() });
    let (one, two) = (table.admit(&peer("192.0.2.1:1")).unwrap(), table.admit(&peer("192.0.2.2:1")).unwrap());
    assert!(one.may_keep_unfinished(60_000) && one.may_keep_unfinished(64_000));
    assert!(!two.may_keep_unfinished(60_000));
    assert!(two.may_keep_unfinished(4_000));
    drop(one);
    assert!(two.may_keep_unfinished(60_000) && two.may_keep_unfinished(0));
    assert_eq!(table.unfinished.load(Ordering::Relaxed), 0);
}

#[test]
fn held_calls_are_capped_per_connection_and_for_all() {
    let table = Table::new(Limits { held: 3, held_per_connection: 2, ..Limits::default() });
    let (one, two) = (table.admit(&peer("192.0.2.1:1")).unwrap(), table.admit(&peer("192.0.2.1:2")).unwrap());
    let first = one.hold();
    let _second = one.hold();
    assert!(!one.may_hold());
    assert!(two.may_hold());
    let _third = two.hold();
    assert!(!two.may_hold());
    drop(first);
    assert!(one.may_hold() && two.may_hold());
}
