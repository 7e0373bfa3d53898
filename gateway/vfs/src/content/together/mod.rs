//! Files that leave in one delivery: those that make sense only together (D10), and the small ones of a directory or tree that a program
//! reads one after another (`cp -r`, `grep -r`). Never on a mere listing.

mod order;
mod others;
mod readers;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use super::caps::automatic;
use super::collect::{Demand, run};
use super::companions::companions;
use super::follower::Step;
use super::held::Held;
use crate::backend::{Fetched, Job, Limits, Outcome, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::flight::{EndOnDrop, Flight};
use crate::node::Node;
use crate::path::EndpointPath;
use crate::planner::while_wanted;
use crate::principal::{Call, Spend};
use crate::tree::Directory;
use crate::vfs::Inner;
use others::{BYTES, Choice, is_held};
pub(crate) use readers::Readers;

/// A small file.
pub(super) const SMALL: u64 = 1 << 20;
/// Where each file is a flow of its own, so many leave together: they count as flows, and the endpoint takes so many at once.
const MOST_FLOWS: usize = 16;
/// Flows of their own leave together only while the endpoint is believed to take them (D30).
const TOKENS: f64 = 2.0;
/// What nobody waits for yet leaves as many for those who do.
const TOKENS_AHEAD: f64 = 4.0;
/// Time on the endpoint.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A file that comes along, and who waits for it meanwhile.
struct Member {
    demand: Demand,
    flight: Arc<Flight>,
    /// It belongs to the demanded file, and is wanted for itself.
    is_companion: bool,
    /// Ends the flight if the task vanishes.
    _guard: EndOnDrop,
}

impl Member {
    fn end(&self, result: Result<()>) {
        let Node { own, version, .. } = self.demand.node;
        self.flight.end(result);
        self.demand.directory.end_collection((own, version));
    }
}

/// The files of one delivery.
fn asked(demand: &Demand, members: &[Member]) -> Vec<EndpointPath> {
    std::iter::once(&demand.path).chain(members.iter().map(|member| &member.demand.path)).cloned().collect()
}

impl Inner {
    /// Collects the file, and with it what belongs to it and what its reader is expected to open next.
    pub(super) async fn collect_for_reader(self: &Arc<Self>, demand: &Demand, flight: &Arc<Flight>) -> Result<()> {
        let reads_on = !demand.call.explicit && demand.listed.size <= SMALL;
        let Demand { directory, path, call, .. } = demand;
        let window = if reads_on {
            let file = (&**directory, &demand.node);
            self.readers.begin(file, path, call, self.clock.now(), |left| self.has_all_small_files(left))
        } else {
            readers::Window::default()
        };
        let result = match self.choose_company(demand, &window).await {
            Ok(members) if !members.is_empty() => {
                if window.files > 0 {
                    self.readers.sent(directory, call, members.len() + 1);
                }
                self.collect_together(demand, flight, members).await
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(path = %demand.path, %error, "what should come along could not be told; the file goes alone");
                None
            }
        };
        let result = match result {
            Some(result) => result,
            None => self.collect_file(demand, flight).await,
        };
        if reads_on {
            self.readers.end(directory, call, self.clock.now());
        }
        result
    }

    /// Notes that somebody reads a file that is here. Halfway through what came for him, what he is expected to open after it leaves:
    /// he would wait for a whole delivery otherwise.
    pub(super) fn reads_on(self: &Arc<Self>, directory: &Arc<Directory>, node: &Node, call: &Call) {
        let Some(window) = self.readers.goes_on(directory, node, call, self.clock.now()) else { return };
        let (inner, directory, node, call) = (self.clone(), directory.clone(), *node, call.clone());
        tokio::spawn(async move {
            if let Err(error) = inner.collect_next(&directory, &node, &call, &window).await {
                tracing::debug!(%error, "what a reader is expected to open next is left until he opens it");
            }
        });
    }

    /// Collects what the reader of `node` is expected to open after what has left for him.
    async fn collect_next(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        node: &Node,
        call: &Call,
        window: &readers::Window,
    ) -> Result<()> {
        let demand = self.demand_of(directory, node, call).await?;
        let fetch_many = self.backend.capabilities(&demand.path.endpoint).await?.fetch_many;
        if !fetch_many || demand.entry.tokens(self.clock.now()) < TOKENS_AHEAD {
            return Ok(());
        }
        let mut members = self.choose_company(&demand, window).await?.into_iter();
        let Some(first) = members.next() else { return Ok(()) };
        self.readers.sent(directory, call, members.len() + 1);
        self.activities.add(first.flight.clone());
        self.readers.ask(directory, call);
        self.leave_with(first, members.collect()).await;
        self.readers.end(directory, call, self.clock.now());
        Ok(())
    }

    /// The files that come along.
    async fn choose_company(self: &Arc<Self>, demand: &Demand, window: &readers::Window) -> Result<Vec<Member>> {
        let Some(loaded) = self.tree.load(&demand.directory).await? else { return Ok(Vec::new()) };
        let companions = companions(&loaded.snapshot, &demand.listed.name);
        if companions.is_empty() && window.files == 0 {
            return Ok(Vec::new());
        }
        let many = self.backend.capabilities(&demand.path.endpoint).await?.fetch_many;
        let most = if many { window.files } else { window.files.min(MOST_FLOWS) };
        let mut choice = Choice::new(demand, companions.len() + most.saturating_sub(1), !many);
        let Some(above) = demand.path.parent() else { return Ok(Vec::new()) };
        for entry in companions {
            let small_enough = above.child(entry.row.name()).ok().and_then(|path| automatic(&self.settings, &path));
            if !is_held(&demand.directory, &entry) && small_enough.is_some_and(|cap| entry.row.size() <= cap) {
                self.add(demand, (&demand.directory, &above), &entry, true, &mut choice).await;
            }
        }
        if window.files > 0 && (many || demand.entry.tokens(self.clock.now()) >= TOKENS) {
            self.choose_others(demand, window, &mut choice).await?;
        }
        Ok(choice.members)
    }

    /// Collects files whose collections are nobody's task yet; the first of them stands for the delivery.
    async fn leave_with(self: &Arc<Self>, first: Member, others: Vec<Member>) {
        match self.collect_together(&first.demand, &first.flight, others).await {
            Some(result) => first.end(result),
            None => self.alone(first),
        }
    }

    /// `None`: the file did not come.
    async fn collect_together(
        self: &Arc<Self>,
        demand: &Demand,
        flight: &Arc<Flight>,
        members: Vec<Member>,
    ) -> Option<Result<()>> {
        let mut own = None;
        if let Err(error) = self.fetch_together(demand, flight, &members, &mut own).await {
            if matches!(error.kind(), ErrorKind::Later { .. }) {
                members.iter().for_each(|member| member.end(Err(error.clone())));
                return Some(Err(error));
            }
            tracing::warn!(path = %demand.path, %error, "files could not be collected together; those that somebody waits for go alone");
        }
        for member in members.into_iter().filter(|member| !member.flight.has_ended()) {
            self.alone(member);
        }
        own
    }

    /// Collects all of them in one delivery; each is there as soon as it has come.
    async fn fetch_together(
        self: &Arc<Self>,
        demand: &Demand,
        flight: &Arc<Flight>,
        members: &[Member],
        own: &mut Option<Result<()>>,
    ) -> Result<()> {
        if !demand.entry.is_online(&*self.backend, &*self.clock, self.settings.offline_after).await? {
            return Err(demand.entry.offline_error());
        }
        let many = self.backend.capabilities(&demand.path.endpoint).await?.fetch_many;
        let of_others: u64 = members.iter().map(|member| member.demand.listed.size).sum();
        let spend = Spend::Collection { bytes: demand.listed.size + if many { of_others } else { 0 } };
        self.admission.admit(&demand.call, &demand.path.endpoint, &demand.path.to_string(), &spend).await?;
        let others: Vec<&Flight> = members.iter().map(|member| &*member.flight).collect();
        let _permit = while_wanted(&[&others[..], &[flight]].concat(), demand.entry.flows.acquire()).await?;
        let job = self.submit_together(demand, flight, members, of_others).await?;
        let set = members.iter().any(|member| member.is_companion).then(|| job.id.clone());
        let mut follower = self.follower(job, asked(demand, members), &demand.entry);
        let mut nothing_came = true;
        loop {
            let fetched = match self.next_step(&mut follower, flight, &others).await? {
                Step::Fetched(fetched) => *fetched,
                Step::Ended(Outcome::Failed { message, .. }) if nothing_came => return Err(Error::backend(message)),
                Step::Ended(_) => return Ok(()),
            };
            nothing_came = false;
            // What could not be read goes alone: then the endpoint says why.
            if fetched.content.is_ok() {
                self.take_member(demand, flight, members, set.as_ref(), fetched, own).await;
            }
        }
    }

    async fn take_member(
        self: &Arc<Self>,
        demand: &Demand,
        flight: &Arc<Flight>,
        members: &[Member],
        set: Option<&Arc<str>>,
        fetched: Fetched,
        own: &mut Option<Result<()>>,
    ) {
        if fetched.file == demand.path {
            let taken = self.take(demand, fetched, set).await;
            // Its readers need not wait for the others.
            flight.end(taken.clone());
            *own = Some(taken);
        } else if let Some(member) = members.iter().find(|member| member.demand.path == fetched.file) {
            let Demand { directory, node, .. } = &member.demand;
            let taken = self.take(&member.demand, fetched, set.filter(|_| member.is_companion)).await;
            // Who opens it should not wait for the server once more.
            if !member.is_companion
                && let Some(held) = Held::of(directory, node)
            {
                // Whose it is has to be known when it was received whole: that is when it is hashed (D8).
                self.owners.insert(held.content(), (directory.key(), node.own));
                self.fetch_ahead(&held, 0);
            }
            member.end(taken);
        }
    }

    async fn submit_together(
        &self,
        demand: &Demand,
        flight: &Flight,
        members: &[Member],
        of_others: u64,
    ) -> Result<Job> {
        let work = Work::Fetch { files: asked(demand, members) };
        let limits = Limits {
            timeout: TIMEOUT,
            max_rows: 0,
            max_upload_bytes: BYTES.max(of_others).saturating_mul(2).saturating_add(demand.limit),
            cpu_percent: 0,
        };
        let what = format!("collect, with {} more,", members.len());
        let flights: Vec<&Flight> = members.iter().map(|member| &*member.flight).chain([flight]).collect();
        self.submit(&demand.call, (&demand.entry, &flights), &demand.path, work, &what, limits).await
    }

    /// A file that did not come along goes alone if it is wanted.
    fn alone(self: &Arc<Self>, member: Member) {
        let Node { own, version, .. } = member.demand.node;
        if member.is_companion || !member.demand.directory.abandon_collection((own, version)) {
            let inner = self.clone();
            tokio::spawn(async move {
                // The guard goes along: without it the flight would end here.
                let Member { demand, flight, _guard, .. } = member;
                run(inner, demand, flight).await;
            });
            return;
        }
        member.flight.end(Err(Error::backend("it was not collected together with others; ask again")));
    }
}
