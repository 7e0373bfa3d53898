//! Who may, how much, and what is written down about it.
//!
//! Owns principals, budgets and fan-out ([`LocalAdmission`]), the ledger ([`Ledger`]), the password of the WebDAV listener
//! ([`Credentials`]), and the certificates of TLS listeners ([`TlsIdentity`]). Implements `vfs`'s `Admission` and `Recorder`; must not know any protocol, Velociraptor, or how the store works.

mod admission;
mod credentials;
mod ledger;
mod local;
mod private_file;
mod tls;

pub use admission::{Limits, LocalAdmission};
pub use credentials::{Credentials, CredentialsError, random_password};
pub use ledger::{Ledger, LedgerError, RecordedFlow, Verified, verify};
pub use local::local_principal;
pub use tls::{TlsError, TlsFiles, TlsIdentity, TlsTerms, named_by};
