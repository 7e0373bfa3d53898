//! Budgets and fan-out by a clock that the tests hold.

use std::sync::atomic::{AtomicI64, Ordering};

use vfs::Protocol;

use super::*;

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::new(self.0.load(Ordering::Relaxed), 0)
    }
}

struct Desk {
    clock: Arc<Hand>,
    admission: LocalAdmission,
    explicit: bool,
}

impl Desk {
    fn new(limits: Limits) -> Desk {
        let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000)));
        Desk { admission: LocalAdmission::new(limits, clock.clone()), clock, explicit: false }
    }

    fn pass(&self, minutes: i64) {
        self.clock.0.fetch_add(minutes * 60, Ordering::Relaxed);
    }

    async fn ask(&self, principal: &str, endpoint: &str, spend: Spend) -> Result<()> {
        let mut call = Call::new(Principal::new(principal), Protocol::Nfs, Duration::ZERO);
        call.explicit = self.explicit;
        self.admission.admit(&call, &EndpointId::root_org(endpoint), "/C.1/auto/x", &spend).await
    }

    async fn refusal(&self, principal: &str, endpoint: &str, spend: Spend) -> String {
        let error = self.ask(principal, endpoint, spend).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Budget);
        error.to_string()
    }
}

const GIB: u64 = 1 << 30;

#[tokio::test]
async fn what_many_flows_would_be_told_is_told_without_spending() {
    let desk = Desk::new(Limits { flows_per_hour: 3, ..Limits::default() });
    let mut call = Call::new(Principal::new("alice"), Protocol::Browser, Duration::ZERO);
    call.explicit = true;
    let endpoint = EndpointId::root_org("C.1");
    for _ in 0..5 {
        desk.admission.would_admit(&call, &endpoint, 3, GIB).await.unwrap();
    }
    desk.ask("alice", "C.1", Spend::Listing).await.unwrap();
    desk.admission.would_admit(&call, &endpoint, 2, 0).await.unwrap();
    let later = desk.admission.would_admit(&call, &endpoint, 3, 0).await.unwrap_err();
    assert!(later.to_string().contains("60 minutes from now"), "{later}");
    let never = desk.admission.would_admit(&call, &endpoint, 4, 0).await.unwrap_err();
    assert!(never.to_string().contains("4 flows are more than the budget of 3"), "{never}");
    assert_eq!(never.kind(), ErrorKind::Budget);
}

#[tokio::test]
async fn flows_past_the_hourly_budget_are_refused_until_the_oldest_is_an_hour_old() {
    let desk = Desk::new(Limits { flows_per_hour: 2, ..Limits::default() });
    desk.ask("alice", "C.1", Spend::Listing).await.unwrap();
    desk.pass(20);
    desk.ask("alice", "C.1", Spend::Listing).await.unwrap();
    let refusal = desk.refusal("alice", "C.1", Spend::Listing).await;
    assert!(
        refusal.contains("2 flows an hour of alice on C.1") && refusal.contains("40 minutes from now"),
        "{refusal}"
    );
    desk.ask("bob", "C.1", Spend::Listing).await.unwrap();
    desk.ask("alice", "C.2", Spend::Listing).await.unwrap();
    desk.pass(40);
    desk.ask("alice", "C.1", Spend::Listing).await.unwrap();
}

#[tokio::test]
async fn a_refused_demand_costs_nothing() {
    let desk = Desk::new(Limits::default());
    for _ in 0..3 {
        desk.refusal("alice", "C.1", Spend::Collection { bytes: 5 * GIB }).await;
    }
    desk.ask("alice", "C.1", Spend::Collection { bytes: 4 * GIB }).await.unwrap();
}

#[tokio::test]
async fn bytes_past_the_hourly_budget_are_refused_but_listings_go_on() {
    let desk = Desk::new(Limits::default());
    desk.ask("alice", "C.1", Spend::Collection { bytes: 3 * GIB }).await.unwrap();
    let refusal = desk.refusal("alice", "C.1", Spend::Collection { bytes: 2 * GIB }).await;
    assert!(refusal.contains("4 GiB an hour") && refusal.contains("60 minutes from now"), "{refusal}");
    desk.ask("alice", "C.1", Spend::Listing).await.unwrap();
    desk.pass(60);
    desk.ask("alice", "C.1", Spend::Collection { bytes: 2 * GIB }).await.unwrap();
}

#[tokio::test]
async fn what_a_person_asks_for_explicitly_is_counted_but_not_refused_for_its_size() {
    let mut desk = Desk::new(Limits::default());
    desk.explicit = true;
    desk.ask("alice", "C.1", Spend::Collection { bytes: 10 * GIB }).await.unwrap();
    desk.explicit = false;
    desk.refusal("alice", "C.1", Spend::Collection { bytes: 1 }).await;
}

#[tokio::test]
async fn an_endpoint_has_a_daily_budget_for_all_principals_together() {
    let desk = Desk::new(Limits::default());
    for principal in ["alice", "bob", "carol", "dave"] {
        desk.ask(principal, "C.1", Spend::Collection { bytes: 4 * GIB }).await.unwrap();
    }
    let refusal = desk.refusal("eve", "C.1", Spend::Collection { bytes: 1 }).await;
    assert!(refusal.contains("16 GiB a day on C.1"), "{refusal}");
    desk.ask("eve", "C.2", Spend::Collection { bytes: 1 }).await.unwrap();
}

#[tokio::test]
async fn a_fourth_new_endpoint_within_ten_minutes_is_refused() {
    let desk = Desk::new(Limits::default());
    for endpoint in ["C.1", "C.2", "C.3"] {
        desk.ask("alice", endpoint, Spend::Listing).await.unwrap();
        desk.pass(2);
    }
    let refusal = desk.refusal("alice", "C.4", Spend::Listing).await;
    assert!(
        refusal.contains("3 endpoints that alice may begin with in 10 minutes") && refusal.contains("4 minutes"),
        "{refusal}"
    );
    desk.ask("alice", "C.2", Spend::Listing).await.unwrap();
    desk.ask("bob", "C.4", Spend::Listing).await.unwrap();
    desk.pass(4);
    desk.ask("alice", "C.4", Spend::Listing).await.unwrap();
    desk.refusal("alice", "C.5", Spend::Listing).await;
}

#[tokio::test]
async fn endpoints_of_the_last_day_are_not_new() {
    let desk = Desk::new(Limits::default());
    let now = desk.clock.now();
    for number in 1..=9 {
        let earlier = Timestamp::new(now.seconds - number * 3_600, 0);
        desk.admission.remember(&Principal::new("alice"), &EndpointId::root_org(format!("C.{number}")), earlier);
    }
    for number in 1..=9 {
        desk.ask("alice", &format!("C.{number}"), Spend::Listing).await.unwrap();
    }
    desk.pass(24 * 60);
    for number in 1..=3 {
        desk.ask("alice", &format!("C.{number}"), Spend::Listing).await.unwrap();
    }
    desk.refusal("alice", "C.4", Spend::Listing).await;
}
