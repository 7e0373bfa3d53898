//! What endpoints say about what they could not read (docs/velociraptor-api.md §4.8, §5.2).

use std::sync::Arc;

use vfs::backend::{Cause, Complaint};

use super::pages::{Pages, is_last};
use crate::server::{CallResult, Server};
use crate::table::{self, Field};

/// Which of the known texts it is.
pub(super) fn cause_of(text: &str) -> Cause {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if says(&["not supported", "only regular files", "not a directory", "is a directory", "directory name is invalid"])
    {
        Cause::Unsupported
    } else if says(&["permission denied", "access is denied", "operation not permitted"]) {
        Cause::Denied
    } else if says(&["no such file", "cannot find the file", "cannot find the path", "file does not exist"]) {
        Cause::Absent
    } else {
        Cause::Unknown
    }
}

pub(super) fn complaint(text: &str) -> Complaint {
    Complaint { cause: cause_of(text), message: Arc::from(text) }
}

/// A complaint without a text from the endpoint.
pub(super) fn silence(message: &str) -> Complaint {
    Complaint { cause: Cause::Unknown, message: Arc::from(message) }
}

/// Log lines that are read at most.
const MAX_LINES: u64 = 20_000;
/// Texts that are kept.
const MAX_TEXTS: usize = 3;

/// What the flow's log says about `missing` directories that could not be listed.
///
/// A quarter of such lines never arrives, so the absence of a line means nothing, and one line among several missing directories
/// does not say for which of them it stands.
pub(super) async fn of_listing(
    server: &Arc<dyn Server>,
    client_id: &str,
    flow_id: &str,
    missing: usize,
) -> CallResult<Complaint> {
    let mut texts = Vec::new();
    let mut pages = Pages::of_type(server, client_id, flow_id, "log");
    let mut row = 0;
    while row < MAX_LINES {
        let page = pages.page(row).await?;
        row += page.rows.len() as u64;
        let message = table::column(&page, "message");
        for line in &page.rows {
            let Some(fields) = table::fields(line) else { continue };
            let Some(text) = fields.get(message).and_then(Field::words) else { continue };
            if let Some(text) = text.trim().strip_prefix("vfs_ls: ") {
                texts.push(text.to_owned());
            }
        }
        if is_last(&page, row) {
            break;
        }
    }
    Ok(summary(&texts, missing))
}

fn summary(texts: &[String], missing: usize) -> Complaint {
    let Some(first) = texts.first() else {
        return silence("the endpoint did not say why (a part of what it says gets lost on the way)");
    };
    let cause = cause_of(first);
    let agreed = texts.len() >= missing && texts.iter().all(|text| cause_of(text) == cause);
    let mut message = texts.iter().take(MAX_TEXTS).map(String::as_str).collect::<Vec<_>>().join("; ");
    if texts.len() > MAX_TEXTS {
        message.push_str("; …");
    }
    Complaint { cause: if agreed { cause } else { Cause::Unknown }, message: Arc::from(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_both_systems_are_told_apart() {
        for (text, cause) in [
            ("lstat /srv/nope: no such file or directory", Cause::Absent),
            ("open C:\\x: The system cannot find the path specified.", Cause::Absent),
            ("CreateFile: The system cannot find the file specified.", Cause::Absent),
            ("open /p: permission denied", Cause::Denied),
            ("open C:\\x: Access is denied.", Cause::Denied),
            ("invalid argument: Directories not supported", Cause::Unsupported),
            ("Only regular files supported (not /p)", Cause::Unsupported),
            ("The process cannot access the file because it is being used by another process.", Cause::Unknown),
            ("", Cause::Unknown),
        ] {
            assert_eq!(cause_of(text), cause, "{text}");
        }
    }

    #[test]
    fn one_line_for_several_directories_proves_nothing_about_each() {
        let texts = vec!["open /a: permission denied".to_owned()];
        assert_eq!(summary(&texts, 1).cause, Cause::Denied);
        assert_eq!(summary(&texts, 2).cause, Cause::Unknown);
        assert_eq!(summary(&[], 1).cause, Cause::Unknown);
    }
}
