//! Room `nfs`.
