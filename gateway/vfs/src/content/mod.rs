//! Content: which version of a file is current, collecting it once however many ask, and serving its bytes from memory, the local
//! store, or the server's file store.

mod chunks;
mod collect;
mod digest;
mod read;
mod together;
mod version;

pub(crate) use chunks::Chunks;
pub(crate) use collect::Refusals;
pub(crate) use together::Readers;
pub(crate) use version::{
    Current, as_listed, attributes, copy_attributes, current, record_collected, update_file, version_of_found,
};
