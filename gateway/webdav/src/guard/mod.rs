//! What every request must pass before its path means anything (D3).

mod authentication;
mod host;
mod site;

pub(crate) use authentication::{Authenticator, Verdict};
pub(crate) use host::is_allowed as host_is_allowed;
pub(crate) use site::{refuse_foreign_posts, refuse_foreign_sites};
