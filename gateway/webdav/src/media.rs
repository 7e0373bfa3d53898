//! Content types by extension, the same in PROPFIND and GET. Evidence is always sent as an attachment that may not be sniffed, so
//! the type only chooses icons; types that a browser could run are never named.

/// The type of a link: its content is its target.
pub(crate) const LINK: &str = "inode/symlink";
/// The type of a directory.
pub(crate) const DIRECTORY: &str = "httpd/unix-directory";
const UNKNOWN: &str = "application/octet-stream";

/// The content type of a file called `name`.
pub(crate) fn of_name(name: &str) -> &'static str {
    let Some((stem, extension)) = name.rsplit_once('.') else { return UNKNOWN };
    if stem.is_empty() || extension.len() > 5 || !extension.is_ascii() {
        return UNKNOWN;
    }
    TABLE
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(extension))
        .map_or(UNKNOWN, |(_, content_type)| content_type)
}

const TABLE: [(&str, &str); 33] = [
    ("txt", "text/plain"),
    ("log", "text/plain"),
    ("ini", "text/plain"),
    ("conf", "text/plain"),
    ("cfg", "text/plain"),
    ("md", "text/plain"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("ico", "image/x-icon"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("tar", "application/x-tar"),
    ("7z", "application/x-7z-compressed"),
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/x-wav"),
    ("mp4", "video/mp4"),
    ("avi", "video/x-msvideo"),
    ("eml", "message/rfc822"),
    ("db", "application/vnd.sqlite3"),
    ("pcap", "application/vnd.tcpdump.pcap"),
    ("iso", "application/x-iso9660-image"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_runs_in_a_browser_is_named() {
        for name in ["a.html", "a.svg", "a.xml", "a.xhtml", "a.js", "a.mht", "a", ".txt", "a.", "ä.öäü"] {
            assert_eq!(of_name(name), UNKNOWN, "{name}");
        }
        assert_eq!(of_name("Report.TXT"), "text/plain");
    }
}
