//! Who may, how much, and what is written down about it.
//!
//! Owns principals, budgets and fan-out ([`LocalAdmission`]), the ledger ([`Ledger`]), and the password of the WebDAV listener
//! ([`Credentials`]). Implements `vfs`'s `Admission` and `Recorder`; must not know any protocol, Velociraptor, or how the store works.

mod admission;
mod credentials;
mod ledger;
mod local;
mod private_file;

pub use admission::{Limits, LocalAdmission};
pub use credentials::{Credentials, CredentialsError, random_password};
pub use ledger::{Ledger, LedgerError, RecordedFlow, Verified, verify};
pub use local::local_principal;
