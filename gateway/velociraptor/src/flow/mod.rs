//! Flows: what is asked of an endpoint, and how far it is.

mod id;
mod request;
mod state;
mod task;

pub(crate) use id::started;
pub(crate) use request::{request, tasks};
pub(crate) use state::{FlowState, Phase};
pub(crate) use task::{Kind, Task};
