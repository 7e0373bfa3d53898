//! The one table from what went wrong to `nfsstat3` (D19, D35).

use nfsserve::nfs::nfsstat3;
use vfs::{Error, ErrorKind};

/// What a call was about: an endpoint that is not connected is told differently for names and for content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Names, attributes, listings.
    Names,
    /// The bytes of a file.
    Content,
}

/// The status of a failure. A refusal is never JUKEBOX, which clients repeat for ever: only [`ErrorKind::Later`] is.
pub fn status_of(kind: ErrorKind, about: About) -> nfsstat3 {
    match (kind, about) {
        (ErrorKind::Absent, _) => nfsstat3::NFS3ERR_NOENT,
        (ErrorKind::Denied, _) => nfsstat3::NFS3ERR_ACCES,
        (ErrorKind::Offline, About::Names) => nfsstat3::NFS3ERR_IO,
        (ErrorKind::Offline, About::Content) => nfsstat3::NFS3ERR_NXIO,
        (ErrorKind::Uncollected, _) => nfsstat3::NFS3ERR_NXIO,
        (ErrorKind::Later { .. }, _) => nfsstat3::NFS3ERR_JUKEBOX,
        (ErrorKind::TooBig, _) => nfsstat3::NFS3ERR_FBIG,
        (ErrorKind::Budget, _) => nfsstat3::NFS3ERR_DQUOT,
        (ErrorKind::Changed, _) => nfsstat3::NFS3ERR_IO,
        (ErrorKind::Stale, _) => nfsstat3::NFS3ERR_STALE,
        (ErrorKind::Backend, _) => nfsstat3::NFS3ERR_IO,
        (ErrorKind::Invalid | ErrorKind::Unsupported, _) => nfsstat3::NFS3ERR_INVAL,
        (ErrorKind::NotDirectory, _) => nfsstat3::NFS3ERR_NOTDIR,
        (ErrorKind::IsDirectory, _) => nfsstat3::NFS3ERR_ISDIR,
        (ErrorKind::ReadOnly, _) => nfsstat3::NFS3ERR_ROFS,
        (ErrorKind::NameTooLong, _) => nfsstat3::NFS3ERR_NAMETOOLONG,
    }
}

/// The status of a handle that was refused.
pub(super) fn handle_status(error: &Error) -> nfsstat3 {
    match error.kind() {
        ErrorKind::Invalid => nfsstat3::NFS3ERR_BADHANDLE,
        kind => status_of(kind, About::Names),
    }
}
