//! Queueing one work for an endpoint: with who wants it and why, in the ledger.

use std::sync::Arc;

use crate::backend::{Delivery, Job, Limits, Work};
use crate::error::{Error, Result};
use crate::flight::Flight;
use crate::path::EndpointPath;
use crate::principal::{Call, Event, Protocol, Reason};
use crate::store::JobRecord;
use crate::tree::EndpointEntry;
use crate::vfs::Inner;

impl Inner {
    /// Queues `work` for `call`, who wants `path`, at the cost of a receive token. `what` is done there, in words. Those who wait for
    /// `flights` are told if it will wait for a token.
    ///
    /// # Errors
    /// As [`crate::backend::Backend::submit`].
    pub(crate) async fn submit(
        &self,
        call: &Call,
        (entry, flights): (&EndpointEntry, &[&Flight]),
        path: &EndpointPath,
        work: Work,
        what: &str,
        limits: Limits,
    ) -> Result<Job> {
        let due = entry.token_due(self.clock.now());
        let job = self.queue_work(call, path, work, what, limits).await?;
        entry.spend_token(self.clock.now());
        for flight in flights {
            flight.update(|status| (status.job, status.due) = (Some(job.id.clone()), due));
        }
        Ok(job)
    }

    /// As [`Inner::submit`]; the delivery that it leaves with is counted by the caller.
    pub(super) async fn queue_work(
        &self,
        call: &Call,
        path: &EndpointPath,
        work: Work,
        what: &str,
        limits: Limits,
    ) -> Result<Job> {
        self.queue_recorded(call, path, work, what, limits, |_| {}).await.map(|record| record.job)
    }

    /// As [`Inner::queue_work`]; what is remembered of the job may be changed before it is.
    pub(super) async fn queue_recorded(
        &self,
        call: &Call,
        path: &EndpointPath,
        work: Work,
        what: &str,
        limits: Limits,
        change: impl FnOnce(&mut JobRecord),
    ) -> Result<JobRecord> {
        let reason = reason(call, what, path);
        let lists = matches!(work, Work::List { .. } | Work::ListMany { .. });
        let delivery =
            Delivery { works: vec![work], principal: call.principal.clone(), reason: reason.clone(), limits };
        let jobs = self.backend.submit(&path.endpoint, delivery).await?;
        let job = jobs.into_iter().next().ok_or_else(|| Error::backend("the server queued nothing"))?;
        self.known_jobs.add_own(&job.id);
        self.recorder.record(Event::FlowStarted {
            at: self.clock.now(),
            principal: Arc::from(call.principal.name()),
            endpoint: path.endpoint.client_id.clone(),
            job: job.id.clone(),
            reason: reason.0,
        });
        let mut record = JobRecord {
            job,
            path: path.clone(),
            lists,
            principal: call.principal.name().to_owned(),
            start_by: self.clock.now().plus(self.settings.start_by),
            kept: call.explicit,
            for_return: None,
        };
        change(&mut record);
        self.remember_job(record.clone()).await;
        Ok(record)
    }
}

/// Why a flow is started, in words for the server's audit and the ledger.
pub(super) fn reason(call: &Call, work: &str, path: &EndpointPath) -> Reason {
    let protocol = match call.protocol {
        Protocol::Nfs => "nfs",
        Protocol::Webdav => "webdav",
        Protocol::Browser => "browser",
        Protocol::Api => "api",
        Protocol::Gateway => "gateway",
    };
    let peer = call.peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
    Reason(format!("{work} {path} by {protocol}{peer}").into())
}
