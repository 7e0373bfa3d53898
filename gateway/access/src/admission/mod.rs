//! Budgets and fan-out of a gateway that one person runs (D15, D16).

mod window;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use vfs::principal::{Admission, Spend};
use vfs::{Call, Clock, EndpointId, Error, ErrorKind, Principal, Result, Timestamp};

use window::Window;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Past this many remembered pairs, idle ones are dropped.
const REMEMBERED: usize = 4_096;

/// How much may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Flows an hour, per principal and endpoint.
    pub flows_per_hour: u64,
    /// Bytes collected an hour, per principal and endpoint.
    pub bytes_per_hour: u64,
    /// Bytes collected a day, per endpoint.
    pub endpoint_bytes_per_day: u64,
    /// Endpoints that a principal may begin with within `fan_out_span`.
    pub fan_out: usize,
    /// See `fan_out`.
    pub fan_out_span: Duration,
    /// How long an endpoint counts as one that the principal works on, after the last flow.
    pub familiar_for: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            flows_per_hour: 300,
            bytes_per_hour: 4 << 30,
            endpoint_bytes_per_day: 16 << 30,
            fan_out: 3,
            fan_out_span: Duration::from_secs(10 * 60),
            familiar_for: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Judges the demands of local principals: everything is allowed within the limits.
///
/// An explicit demand of a person is not refused for its bytes (a person may want the 10 GiB file), but they count.
pub struct LocalAdmission {
    limits: Limits,
    clock: Arc<dyn Clock>,
    spending: Mutex<Spending>,
}

#[derive(Default)]
struct Spending {
    pairs: HashMap<(Principal, EndpointId), Pair>,
    endpoints: HashMap<EndpointId, Window>,
}

struct Pair {
    flows: Window,
    bytes: Window,
    /// When the principal began to work on the endpoint, and when it last started a flow there; seconds.
    began: i64,
    touched: i64,
}

/// What a demand asks for.
struct Demand<'a> {
    principal: &'a Principal,
    endpoint: &'a EndpointId,
    flows: u64,
    bytes: u64,
    explicit: bool,
}

impl LocalAdmission {
    /// Judges by `limits`; nothing was spent yet.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> LocalAdmission {
        LocalAdmission { limits, clock, spending: Mutex::default() }
    }

    /// Tells that `principal` started a flow on `endpoint` at `at`, before this gateway started: the endpoint is no new one for it.
    pub fn remember(&self, principal: &Principal, endpoint: &EndpointId, at: Timestamp) {
        let mut spending = self.spending.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = spending.pairs.entry((principal.clone(), endpoint.clone()));
        let pair = pair.or_insert_with(|| Pair::new(at.seconds));
        pair.touched = pair.touched.max(at.seconds);
        pair.began = pair.began.min(at.seconds);
    }

    fn judge(&self, spending: &mut Spending, demand: &Demand<'_>, now: i64) -> Result<()> {
        let Demand { principal, endpoint, flows, bytes, explicit } = demand;
        self.judge_fan_out(spending, demand, now)?;
        let refuse = |wait: Option<i64>, budget: String| match wait {
            Some(0) => Ok(()),
            Some(seconds) => Err(spent(&budget, now, seconds)),
            None => Err(Error::new(
                ErrorKind::Budget,
                format!("{budget} is smaller than this file; collect it explicitly if you want it"),
            )),
        };
        let budget = self.limits.flows_per_hour;
        if *flows > budget.max(1) {
            let message = format!("{flows} flows are more than the budget of {budget} flows an hour on {endpoint}");
            return Err(Error::new(ErrorKind::Budget, message));
        }
        if let Some(pair) = spending.pairs.get_mut(&((*principal).clone(), (*endpoint).clone())) {
            let wait = pair.flows.wait(now, *flows, budget);
            refuse(
                wait,
                format!(
                    "the budget of {} flows an hour of {} on {endpoint}",
                    self.limits.flows_per_hour,
                    principal.name()
                ),
            )?;
        }
        if *explicit || *bytes == 0 {
            return Ok(());
        }
        let mut unspent = Window::new(HOUR);
        let pair = spending.pairs.get_mut(&((*principal).clone(), (*endpoint).clone()));
        let window = pair.map_or(&mut unspent, |pair| &mut pair.bytes);
        let wait = window.wait(now, *bytes, self.limits.bytes_per_hour);
        refuse(
            wait,
            format!("the budget of {} an hour of {} on {endpoint}", size(self.limits.bytes_per_hour), principal.name()),
        )?;
        let window = spending.endpoints.get_mut(*endpoint).unwrap_or(&mut unspent);
        let wait = window.wait(now, *bytes, self.limits.endpoint_bytes_per_day);
        refuse(wait, format!("the budget of {} a day on {endpoint}", size(self.limits.endpoint_bytes_per_day)))
    }

    fn judge_fan_out(&self, spending: &Spending, demand: &Demand<'_>, now: i64) -> Result<()> {
        let familiar_for = seconds(self.limits.familiar_for);
        let span = seconds(self.limits.fan_out_span);
        let familiar = |pair: &Pair| now.saturating_sub(pair.touched) < familiar_for;
        let mut begun = Vec::new();
        for ((principal, endpoint), pair) in &spending.pairs {
            if principal != demand.principal || !familiar(pair) {
                continue;
            }
            if endpoint == demand.endpoint {
                return Ok(());
            }
            let ago = now.saturating_sub(pair.began);
            if ago < span {
                begun.push(ago);
            }
        }
        if begun.len() < self.limits.fan_out {
            return Ok(());
        }
        // The place is free when all but `fan_out - 1` of them lie further back than the span.
        begun.sort_unstable();
        let decisive = self.limits.fan_out.checked_sub(1).and_then(|last| begun.get(last));
        let wait = decisive.map_or(span, |ago| span.saturating_sub(*ago));
        let budget = format!(
            "the limit of {} endpoints that {} may begin with in {} minutes",
            self.limits.fan_out,
            demand.principal.name(),
            span / 60
        );
        Err(spent(&budget, now, wait))
    }

    fn spend(&self, spending: &mut Spending, demand: &Demand<'_>, now: i64) {
        let Demand { principal, endpoint, flows, bytes, .. } = demand;
        let familiar_for = seconds(self.limits.familiar_for);
        let pair = match spending.pairs.entry(((*principal).clone(), (*endpoint).clone())) {
            Entry::Occupied(entry) => {
                let pair = entry.into_mut();
                if now.saturating_sub(pair.touched) >= familiar_for {
                    pair.began = now;
                }
                pair
            }
            Entry::Vacant(entry) => entry.insert(Pair::new(now)),
        };
        pair.touched = pair.touched.max(now);
        pair.flows.spend(now, *flows);
        if *bytes > 0 {
            pair.bytes.spend(now, *bytes);
            let day = spending.endpoints.entry((*endpoint).clone()).or_insert_with(|| Window::new(DAY));
            day.spend(now, *bytes);
        }
        if spending.pairs.len() > REMEMBERED {
            spending.pairs.retain(|_, pair| !pair.is_idle(now) || now.saturating_sub(pair.touched) < familiar_for);
            spending.endpoints.retain(|_, window| !window.is_idle(now));
        }
    }
}

impl Pair {
    fn new(now: i64) -> Pair {
        Pair { flows: Window::new(HOUR), bytes: Window::new(HOUR), began: now, touched: now }
    }

    fn is_idle(&mut self, now: i64) -> bool {
        self.flows.is_idle(now) && self.bytes.is_idle(now)
    }
}

#[async_trait]
impl Admission for LocalAdmission {
    async fn admit(&self, call: &Call, endpoint: &EndpointId, path: &str, spend: &Spend) -> Result<()> {
        let bytes = match spend {
            Spend::Listing => 0,
            Spend::Collection { bytes } => *bytes,
        };
        let now = self.clock.now().seconds;
        let demand = Demand { principal: &call.principal, endpoint, flows: 1, bytes, explicit: call.explicit };
        let mut spending = self.spending.lock().unwrap_or_else(PoisonError::into_inner);
        let judged = self.judge(&mut spending, &demand, now);
        match &judged {
            Ok(()) => self.spend(&mut spending, &demand, now),
            Err(refusal) => tracing::info!(principal = call.principal.name(), %endpoint, path, %refusal, "refused"),
        }
        judged
    }

    async fn would_admit(&self, call: &Call, endpoint: &EndpointId, flows: u64, bytes: u64) -> Result<()> {
        let demand = Demand { principal: &call.principal, endpoint, flows, bytes, explicit: call.explicit };
        let mut spending = self.spending.lock().unwrap_or_else(PoisonError::into_inner);
        self.judge(&mut spending, &demand, self.clock.now().seconds)
    }
}

fn spent(budget: &str, now: i64, wait: i64) -> Error {
    let free = Timestamp::new(now.saturating_add(wait), 0).to_rfc3339();
    let minutes = (wait + 59) / 60;
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    let text = format!("{budget} is spent until {free} ({minutes} {unit} from now); what is cached stays readable");
    Error::new(ErrorKind::Budget, text)
}

fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = UNITS.iter().find(|(shift, _)| bytes >> shift > 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| format!("{bytes} bytes"), |(shift, name)| format!("{} {name}", bytes >> shift))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
