//! Every cell of the table from kinds of failure to `nfsstat3` (D19).

use std::time::Duration;

use raptorgate_nfs::{About, status_of};
use vfs::ErrorKind;

const JUKEBOX: u32 = 10_008;

#[test]
fn every_kind_of_failure_has_its_status_and_a_refusal_is_never_jukebox() {
    let later = ErrorKind::Later { after: Duration::from_secs(1) };
    let table = [
        (ErrorKind::Absent, 2, 2),
        (ErrorKind::Denied, 13, 13),
        (ErrorKind::Offline, 5, 6),
        (ErrorKind::Uncollected, 6, 6),
        (later, JUKEBOX, JUKEBOX),
        (ErrorKind::TooBig, 27, 27),
        (ErrorKind::Budget, 69, 69),
        (ErrorKind::Changed, 5, 5),
        (ErrorKind::Stale, 70, 70),
        (ErrorKind::Backend, 5, 5),
        (ErrorKind::Invalid, 22, 22),
        (ErrorKind::NotDirectory, 20, 20),
        (ErrorKind::IsDirectory, 21, 21),
        (ErrorKind::Unsupported, 22, 22),
        (ErrorKind::ReadOnly, 30, 30),
        (ErrorKind::NameTooLong, 63, 63),
    ];
    for (kind, names, content) in table {
        assert_eq!(status_of(kind, About::Names) as u32, names, "{kind:?}");
        assert_eq!(status_of(kind, About::Content) as u32, content, "{kind:?}");
        assert_eq!(names == JUKEBOX || content == JUKEBOX, kind == later, "{kind:?}");
    }
}
