//! Content: which version of a file is current, collecting it once however many ask, and serving its bytes from memory, the local
//! store, or the server's file store.

mod behind;
mod caps;
mod chunks;
mod collect;
mod companions;
mod digest;
mod follower;
mod held;
mod ranges;
mod read;
mod together;
mod version;

pub(crate) use behind::Behind;
pub(crate) use chunks::Chunks;
pub(crate) use collect::Refusals;
pub(crate) use companions::companions;
pub(crate) use held::Held;
pub(crate) use ranges::Ranges;
pub(crate) use together::Readers;
pub(crate) use version::{
    Current, as_listed, attributes, current, entry_version, held_attributes, is_as_listed, record_collected,
    update_file, version_of_found,
};
