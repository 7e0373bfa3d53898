//! Why a call did not succeed, few enough to be counted apart.

/// What was said instead of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A status in the results (`nfsstat3`, `mountstat3`).
    Status(u32),
    /// The arguments were not understood.
    GarbageArguments,
    /// There is no such procedure.
    ProcedureUnavailable,
    /// The credential does not do.
    Credential,
    /// Nothing was said; the client asks again.
    Unanswered,
}

/// The statuses that are ever said (SEMANTICS 9), and their names; 0 stands for all others.
const STATUSES: [(u32, &str); 16] = [
    (2, "NOENT"),
    (5, "IO"),
    (6, "NXIO"),
    (13, "ACCES"),
    (20, "NOTDIR"),
    (21, "ISDIR"),
    (22, "INVAL"),
    (27, "FBIG"),
    (30, "ROFS"),
    (63, "NAMETOOLONG"),
    (69, "DQUOT"),
    (70, "STALE"),
    (10_001, "BADHANDLE"),
    (10_005, "TOOSMALL"),
    (10_008, "JUKEBOX"),
    (0, "OTHER"),
];
const OTHERS: [&str; 4] = ["GARBAGE_ARGS", "PROC_UNAVAIL", "AUTH_ERROR", "UNANSWERED"];

/// How many kinds of failures are counted apart.
pub(super) const COUNT: usize = STATUSES.len() + OTHERS.len();

/// Their names, by index.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    STATUSES.iter().map(|(_, name)| *name).chain(OTHERS)
}

impl Failure {
    pub(super) fn index(self) -> usize {
        let other = STATUSES.len();
        match self {
            Failure::Status(status) => {
                STATUSES.iter().position(|(known, _)| *known == status).unwrap_or(STATUSES.len() - 1)
            }
            Failure::GarbageArguments => other,
            Failure::ProcedureUnavailable => other + 1,
            Failure::Credential => other + 2,
            Failure::Unanswered => other + 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_name_of_its_own() {
        let name = |failure: Failure| names().nth(failure.index()).unwrap();
        assert_eq!(name(Failure::Status(10_008)), "JUKEBOX");
        assert_eq!(name(Failure::Status(4_711)), "OTHER");
        assert_eq!(name(Failure::GarbageArguments), "GARBAGE_ARGS");
        assert_eq!(name(Failure::Unanswered), "UNANSWERED");
        assert_eq!(names().collect::<std::collections::BTreeSet<_>>().len(), COUNT);
    }
}
