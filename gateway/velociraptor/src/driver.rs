//! The backend: the VFS's works in, the VFS's events out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use futures_util::stream::{BoxStream, StreamExt as _};
use tokio::time::Instant;
use vfs::backend::{
    Backend, Capabilities, ContentLocation, Delivery, EndpointChange, Job, JobEvent, JobPage, Listed, Presence, Upload,
    Work,
};
use vfs::{Clock, EndpointId, EndpointPath, Error, ErrorKind, Result, SystemClock, Timestamp};

use crate::artifacts::{self, Artifact};
use crate::check::{self, CheckReport};
use crate::composite;
use crate::config::ApiConfig;
use crate::endpoints;
use crate::flow;
use crate::gui_config::GuiConfig;
use crate::held;
use crate::past;
use crate::server::{CallError, Grpc, Gui, Server};
use crate::watch::Shared;

/// How the driver works.
#[derive(Clone)]
pub struct Options {
    /// Time between two rounds over the server's clients.
    pub poll_clients: Duration,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Options {
        Options { poll_clients: Duration::from_secs(30), clock: Arc::new(SystemClock) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").field("poll_clients", &self.poll_clients).finish_non_exhaustive()
    }
}

/// What was configured cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

/// A connection to one Velociraptor server.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    server: Arc<dyn Server>,
    options: Options,
    address: String,
    /// Of each organisation, and since when.
    capabilities: Mutex<HashMap<Arc<str>, (Instant, Capabilities)>>,
}

/// An endpoint that was seen so long ago, or in the future, may be away, or the server's clock goes wrong.
const DOUBTFUL: Duration = Duration::from_secs(4);
/// Rights and artifacts change seldom.
const CAPABILITIES_AGE: Duration = Duration::from_secs(60);
/// The server allocates what is asked for, and its answer must stay below 4 MiB (§5.4).
const PIECE: u32 = 1 << 20;
/// Something between us and the server may take less; smaller than this it is useless.
const SMALLEST_PIECE: u32 = 16 << 10;

impl Driver {
    /// Prepares the connection of `config`; it is made when something is first asked. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub fn connect(config: &ApiConfig, options: Options) -> Result<Driver, ConnectError> {
        let server: Arc<dyn Server> = Arc::new(Grpc::new(config).map_err(ConnectError)?);
        Ok(Driver::over(server, config.api_connection_string.trim(), &config.name, options))
    }

    /// The same through the GUI of the server, for those whose API port cannot be reached.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub fn connect_gui(config: &GuiConfig, options: Options) -> Result<Driver, ConnectError> {
        let server: Arc<dyn Server> = Arc::new(Gui::new(config).map_err(ConnectError)?);
        Ok(Driver::over(server, &config.address(), &config.user(), options))
    }

    /// A driver that asks `server`.
    pub(crate) fn over(server: Arc<dyn Server>, address: &str, user: &str, options: Options) -> Driver {
        let shared = Arc::new(Shared::new(server.clone(), options.clock.clone(), user.to_owned()));
        let inner = Inner { shared, server, options, address: address.to_owned(), capabilities: Mutex::default() };
        Driver { inner: Arc::new(inner) }
    }

    /// Whether and how the server can be used. Never fails: what is wrong is in the report.
    pub async fn check(&self) -> CheckReport {
        check::check(&*self.inner.server, &self.inner.address, &*self.inner.options.clock).await
    }

    /// Installs our artifacts on the server ([`artifacts::ALL`]); their names. Needs the right ARTIFACT_WRITER.
    ///
    /// # Errors
    /// `Denied` without the right, `Backend` if the server refuses a definition.
    pub async fn install_artifacts(&self) -> Result<Vec<&'static str>> {
        let mut names = Vec::new();
        for Artifact { name, yaml } in artifacts::ALL {
            self.inner.server.install(yaml).await.map_err(|error| match error {
                CallError::Denied(_) => Error::new(
                    ErrorKind::Denied,
                    "our user may not install artifacts (ARTIFACT_WRITER): let an administrator do it",
                ),
                error => Error::backend(format!("{name} could not be installed: {error}")),
            })?;
            names.push(name);
        }
        self.inner.capabilities.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(names)
    }

    /// Over gRPC an ordinary certificate always acts in the root organisation (§11).
    fn must_reach(&self, endpoint: &EndpointId) -> Result<()> {
        if self.inner.server.reaches(&endpoint.org) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "endpoints of the organisation {} are reached through the GUI only (--gui-url)",
            endpoint.org
        )))
    }

    async fn start(&self, endpoint: &EndpointId, task: flow::Task, delivery: &Delivery) -> Result<Arc<str>, CallError> {
        let request = flow::request(endpoint, &task, &delivery.limits, &delivery.reason.0);
        let id: Arc<str> = Arc::from(self.inner.server.collect(request).await?);
        let shared = &self.inner.shared;
        if let Some(theirs) = flow::started(&id) {
            shared.server_clock.learn(theirs, shared.clock.now());
        }
        self.inner.shared.started(&Job { endpoint: endpoint.clone(), id: id.clone() }, task);
        Ok(id)
    }
}

fn start_error(error: CallError) -> Error {
    match error {
        CallError::NotFound => Error::invalid("the server does not know this endpoint"),
        CallError::Failed(text) if text.starts_with("ClientId") => {
            Error::invalid("the server does not know this endpoint")
        }
        CallError::Failed(text) if text.starts_with("Unknown artifact") => {
            Error::invalid(format!("the server lacks an artifact: {text}"))
        }
        CallError::Denied(_) => Error::new(
            ErrorKind::Denied,
            "our user may not start collections on this server (COLLECT_CLIENT): let an administrator grant it",
        ),
        error => error.into(),
    }
}

#[async_trait]
impl Backend for Driver {
    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>> {
        self.must_reach(endpoint)?;
        let many_files = delivery.works.iter().any(|work| matches!(work, Work::Fetch { files } if files.len() > 1));
        let fetch_many = many_files && self.capabilities(endpoint).await?.fetch_many;
        let tasks = flow::tasks(endpoint, &delivery, fetch_many)?;
        self.inner.shared.completions.subscribe();
        let works = tasks
            .into_iter()
            .map(|tasks| join_all(tasks.into_iter().map(|task| self.start(endpoint, task, &delivery))));
        let mut jobs = Vec::with_capacity(delivery.works.len());
        let mut failure = None;
        for flows in join_all(works).await {
            let mut started = Vec::with_capacity(flows.len());
            for flow in flows {
                match flow {
                    Ok(id) => started.push(id),
                    Err(error) => failure = Some(error),
                }
            }
            if !started.is_empty() {
                jobs.push(composite::job(endpoint, &started));
            }
        }
        let Some(error) = failure else { return Ok(jobs) };
        // All or nothing: nobody would wait for the ones that started.
        for job in &jobs {
            if let Err(error) = self.cancel(job).await {
                tracing::warn!(flow = %job.id, %error, "a flow of a failed delivery could not be taken back");
            }
        }
        Err(start_error(error))
    }

    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent> {
        match composite::parts(job).as_slice() {
            [flow] => self.inner.shared.watch(flow),
            flows => composite::merge(flows.iter().map(|flow| self.inner.shared.watch(flow)).collect()),
        }
    }

    async fn held(&self, directory: &EndpointPath) -> Result<Option<Listed>> {
        self.must_reach(&directory.endpoint)?;
        Ok(held::listing(&self.inner.shared, directory).await?)
    }

    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> Result<Bytes> {
        // A short answer is not the end: runs of sparse files and pieces end where they end. Only an empty one is (§5.4).
        let mut bytes = BytesMut::new();
        let mut limit = PIECE;
        loop {
            let missing = length.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            if missing == 0 {
                break;
            }
            let at = offset + bytes.len() as u64;
            let next = match self.inner.server.buffer(&location.org, &location.components, at, missing.min(limit)).await
            {
                Err(CallError::TooLong) if limit > SMALLEST_PIECE => {
                    limit /= 2;
                    continue;
                }
                next => next.map_err(read_error)?,
            };
            let next = next.slice(..next.len().min(missing as usize));
            if next.is_empty() {
                break;
            }
            if bytes.is_empty() && next.len() == length as usize {
                return Ok(next);
            }
            bytes.extend_from_slice(&next);
        }
        Ok(bytes.freeze())
    }

    fn jobs(&self, endpoint: &EndpointId) -> BoxStream<'static, Result<JobPage>> {
        match self.must_reach(endpoint) {
            Ok(()) => past::jobs(self.inner.shared.clone(), endpoint),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    fn uploads(&self, job: &Job) -> BoxStream<'static, Result<Vec<Upload>>> {
        match self.must_reach(&job.endpoint) {
            Ok(()) => past::uploads(self.inner.shared.server.clone(), job),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn cancel(&self, job: &Job) -> Result<()> {
        self.must_reach(&job.endpoint)?;
        for flow in composite::parts(job) {
            match self.inner.server.cancel(&flow.endpoint.client_id, &flow.id).await {
                Ok(()) | Err(CallError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn endpoints(&self) -> BoxStream<'static, EndpointChange> {
        endpoints::changes(self.inner.shared.clone(), self.inner.options.poll_clients)
    }

    async fn presence(&self, endpoint: &EndpointId) -> Result<Presence> {
        self.must_reach(endpoint)?;
        let client = self.inner.server.client(&endpoint.client_id, false).await.map_err(|error| match error {
            CallError::NotFound => Error::invalid("the server does not know this endpoint"),
            error => error.into(),
        })?;
        if client.client_id.is_empty() {
            return Err(Error::invalid("the server does not know this endpoint"));
        }
        let last_seen = (client.last_seen_at != 0).then(|| Timestamp::from_micros(client.last_seen_at));
        let Some(theirs) = last_seen else { return Ok(Presence { last_seen }) };
        let (shared, now) = (&self.inner.shared, self.inner.shared.clock.now());
        let seen = shared.server_clock.ours(theirs);
        if now.since(seen) >= DOUBTFUL || seen.since(now) >= DOUBTFUL {
            // Away, or the clocks differ.
            shared.server_clock.ask(&*self.inner.server, &*shared.clock).await;
        }
        Ok(Presence { last_seen: Some(shared.server_clock.ours(theirs)) })
    }

    async fn capabilities(&self, endpoint: &EndpointId) -> Result<Capabilities> {
        if self.must_reach(endpoint).is_err() {
            return Ok(Capabilities::default());
        }
        let org = &endpoint.org;
        let known = self.inner.capabilities.lock().unwrap_or_else(PoisonError::into_inner).get(org).copied();
        if let Some((since, capabilities)) = known
            && since.elapsed() < CAPABILITIES_AGE
        {
            return Ok(capabilities);
        }
        let names = artifacts::ALL.map(|artifact| artifact.name);
        let (user, installed) = tokio::join!(self.inner.server.user(org), self.inner.server.artifacts(org, &names));
        let rights = user?.interface_traits.and_then(|traits| traits.permissions).unwrap_or_default();
        let installed: HashSet<String> = installed?.into_iter().collect();
        let has = |artifact: Artifact| installed.contains(artifact.name);
        let capabilities = Capabilities {
            collect: rights.collect_client || rights.collect_basic,
            list_many: has(artifacts::LIST_MANY),
            fetch_many: has(artifacts::FETCH_MANY),
            ranges: has(artifacts::READ_RANGES),
        };
        let mut known = self.inner.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(org.clone(), (Instant::now(), capabilities));
        Ok(capabilities)
    }
}

fn read_error(error: CallError) -> Error {
    match error {
        CallError::NotFound => Error::absent("the server does not have this content (any more)"),
        error => error.into(),
    }
}
