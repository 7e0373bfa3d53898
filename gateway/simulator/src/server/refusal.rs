//! Refusals with the codes that the measured server gives them (`docs/velociraptor-api.md` §1.8): everything that is
//! neither a permission, an invalid argument nor an absent object is `Unavailable`.

use tonic::Status;

/// NOT_FOUND, always with the same text (the server is not run with `-v`).
pub(crate) fn not_found() -> Status {
    Status::not_found("Not Found")
}

/// The mapper's answer to any other error.
pub(crate) fn unavailable(text: impl Into<String>) -> Status {
    Status::unavailable(text)
}

/// A missing permission.
pub(crate) fn denied(text: &str) -> Status {
    Status::permission_denied(text)
}

/// A trouble of the simulator's own disk.
pub(crate) fn disk(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "the simulator cannot use its state directory");
    Status::unavailable(error.to_string())
}
