//! Layers: what is done around every call of a backend, whichever it is. [`Layered`] is the one place that knows them all.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{
    Backend, Capabilities, ContentLocation, Deadline, Delivery, EndpointChange, Job, JobEvent, JobPage, Limit, Listed,
    Metrics, Presence, Retry, Upload,
};
use crate::endpoint::EndpointId;
use crate::error::Result;
use crate::path::EndpointPath;

/// The calls of a [`Backend`] that are answered once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// [`Backend::submit`]
    Submit,
    /// [`Backend::held`]
    Held,
    /// [`Backend::read`]
    Read,
    /// [`Backend::cancel`]
    Cancel,
    /// [`Backend::presence`]
    Presence,
    /// [`Backend::capabilities`]
    Capabilities,
}

impl Method {
    /// All of them, in the order of their numbers.
    pub const ALL: [Method; 6] =
        [Method::Submit, Method::Held, Method::Read, Method::Cancel, Method::Presence, Method::Capabilities];

    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Method::Submit => "submit",
            Method::Held => "held",
            Method::Read => "read",
            Method::Cancel => "cancel",
            Method::Presence => "presence",
            Method::Capabilities => "capabilities",
        }
    }

    /// Whether twice does no more than once.
    pub fn is_repeatable(self) -> bool {
        self != Method::Submit
    }
}

/// What is done around the calls of a backend.
pub trait Layer: Send + Sync + 'static {
    /// Around a call that is answered once; each `call()` makes it.
    fn around<T, F>(
        &self,
        method: Method,
        call: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: Future<Output = Result<T>> + Send;

    /// Around [`Backend::submit`] of so many works.
    fn submit<F>(
        &self,
        works: usize,
        call: impl Fn() -> F + Send + Sync,
    ) -> impl Future<Output = Result<Vec<Job>>> + Send
    where
        F: Future<Output = Result<Vec<Job>>> + Send,
    {
        let _any = works;
        self.around(Method::Submit, call)
    }

    /// Around [`Backend::watch`].
    fn watch(&self, job: &Job, inner: &Arc<dyn Backend>) -> BoxStream<'static, JobEvent> {
        inner.watch(job)
    }

    /// Somebody has taken the job back, or tried to.
    fn taken_back(&self, job: &Job) {
        let _any = job;
    }
}

/// A backend with a layer around it.
pub struct Layered<L> {
    layer: L,
    inner: Arc<dyn Backend>,
}

impl<L: Layer> Layered<L> {
    /// `layer` around `inner`.
    pub fn over(inner: Arc<dyn Backend>, layer: L) -> Arc<dyn Backend> {
        Arc::new(Layered { layer, inner })
    }
}

/// The layers of the program around its driver: each attempt at a call is counted, has a deadline and waits its turn; what a broken
/// connection failed is attempted again.
pub fn layers(driver: Arc<dyn Backend>, metrics: &Metrics) -> Arc<dyn Backend> {
    let counted = Layered::over(Layered::over(driver, Deadline::default()), metrics.clone());
    Layered::over(Layered::over(counted, Limit::default()), Retry::default())
}

#[async_trait]
impl<L: Layer> Backend for Layered<L> {
    async fn submit(&self, endpoint: &EndpointId, delivery: Delivery) -> Result<Vec<Job>> {
        self.layer.submit(delivery.works.len(), || self.inner.submit(endpoint, delivery.clone())).await
    }

    fn watch(&self, job: &Job) -> BoxStream<'static, JobEvent> {
        self.layer.watch(job, &self.inner)
    }

    async fn held(&self, directory: &EndpointPath) -> Result<Option<Listed>> {
        self.layer.around(Method::Held, || self.inner.held(directory)).await
    }

    async fn read(&self, location: &ContentLocation, offset: u64, length: u32) -> Result<Bytes> {
        self.layer.around(Method::Read, || self.inner.read(location, offset, length)).await
    }

    async fn cancel(&self, job: &Job) -> Result<()> {
        let result = self.layer.around(Method::Cancel, || self.inner.cancel(job)).await;
        self.layer.taken_back(job);
        result
    }

    fn endpoints(&self) -> BoxStream<'static, EndpointChange> {
        self.inner.endpoints()
    }

    fn jobs(&self, endpoint: &EndpointId) -> BoxStream<'static, Result<JobPage>> {
        self.inner.jobs(endpoint)
    }

    fn uploads(&self, job: &Job) -> BoxStream<'static, Result<Vec<Upload>>> {
        self.inner.uploads(job)
    }

    async fn presence(&self, endpoint: &EndpointId) -> Result<Presence> {
        self.layer.around(Method::Presence, || self.inner.presence(endpoint)).await
    }

    async fn capabilities(&self, endpoint: &EndpointId) -> Result<Capabilities> {
        self.layer.around(Method::Capabilities, || self.inner.capabilities(endpoint)).await
    }
}
