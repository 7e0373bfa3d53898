//! What survives a restart: directory records, listings, file records, endpoints and contents on the local disk.
//!
//! Owns the layout of the state directory and its crash safety: whatever moment the process is killed at, the state opens again and
//! nothing that was half written is served. Implements [`vfs::store::Store`]; must not know any protocol or Velociraptor.
//! A walk enters at [`DiskStore`].
//!
//! | path below the state directory | content |
//! |---|---|
//! | `lock` | held while a gateway uses the state |
//! | `format` | version of this layout |
//! | `secret` | the key of identities and handles, made at the first start |
//! | `index/` | an embedded LSM store (fjall): records, listings, checksums of chunks |
//! | `content/aa/<hex>` | one content, in chunks of [`vfs::store::CHUNK_BYTES`] |

mod buffers;
mod contents;
mod disk;
mod envelope;
mod error;
mod index;
mod key;
mod layout;
mod listing;
mod secret;

pub use disk::{DiskStore, Options};
pub use error::OpenError;
pub use secret::secret;
