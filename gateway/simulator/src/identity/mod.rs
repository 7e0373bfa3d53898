//! Who is who: the deployment's certificates, its API users and the ids of clients and flows.

pub(crate) mod certificates;
pub(crate) mod ids;
pub(crate) mod users;
