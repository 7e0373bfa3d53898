//! The frame of every page.

use std::fmt::Write;

use vfs::Timestamp;

use super::escape::text;
use crate::path::RequestPath;

/// A page that is being made.
pub(crate) struct Page {
    title: String,
    crumbs: String,
    refresh: Option<u32>,
}

impl Page {
    /// A page about `path`, or about the gateway itself.
    pub(crate) fn new(title: &str, path: Option<&RequestPath>) -> Page {
        Page { title: text(title).to_string(), crumbs: path.map(crumbs).unwrap_or_default(), refresh: None }
    }

    /// The browser asks again every so many seconds.
    pub(crate) fn refresh_every(&mut self, seconds: u32) {
        self.refresh = Some(seconds);
    }

    /// The whole page around `body`.
    pub(crate) fn finish(self, body: &str) -> String {
        let refresh = self
            .refresh
            .map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"))
            .unwrap_or_default();
        let title = strip_spans(&self.title);
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{refresh}\
             <title>{title} · raptorgate</title><link rel=\"stylesheet\" href=\"/-/style.css\"></head><body>\
             <header><nav class=\"crumbs\" aria-label=\"Path\"><a class=\"home\" href=\"/\">raptorgate</a>{crumbs}</nav>\
             <nav class=\"site\" aria-label=\"Gateway\"><a href=\"/-/activity\">Activity</a><a href=\"/-/connect\">Connect</a></nav></header>\
             <main>{body}</main></body></html>\n",
            crumbs = self.crumbs,
        )
    }
}

/// Titles cannot contain elements: the marks of odd characters become brackets.
fn strip_spans(title: &str) -> String {
    let mut out = String::with_capacity(title.len());
    let mut inside = false;
    for character in title.chars() {
        match character {
            '<' => inside = true,
            '>' if inside => inside = false,
            _ if !inside => out.push(character),
            _ => {}
        }
    }
    out
}

fn crumbs(path: &RequestPath) -> String {
    let mut out = String::new();
    let mut at = RequestPath::default();
    let last = path.segments().len();
    for (index, segment) in (1..).zip(path.segments()) {
        at = at.child(segment);
        if index == last {
            let _ = write!(out, "<span class=\"sep\">/</span><span aria-current=\"page\">{}</span>", text(segment));
        } else {
            let _ =
                write!(out, "<span class=\"sep\">/</span><a href=\"{}\">{}</a>", at.directory_href(), text(segment));
        }
    }
    out
}

/// A size for people; the exact one is in the title.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("<span title=\"{bytes} bytes\">{bytes} B</span>");
    }
    #[allow(clippy::cast_precision_loss)] // three digits are shown
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("<span title=\"{bytes} bytes\">{value:.1} {unit}</span>")
}

/// A time for people, in UTC to the second; the exact one is in the title.
pub(crate) fn time(time: Option<Timestamp>) -> String {
    let Some(time) = time else { return "<span class=\"dim\">not known</span>".to_owned() };
    let exact = time.to_rfc3339();
    let short = match (exact.get(..10), exact.get(11..19)) {
        (Some(date), Some(clock)) if exact.as_bytes().get(10) == Some(&b'T') => format!("{date} {clock}"),
        _ => exact.clone(),
    };
    format!("<time title=\"{exact}\">{short}</time>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short_and_exact_at_once() {
        assert_eq!(size(1023), "<span title=\"1023 bytes\">1023 B</span>");
        assert_eq!(size(1536), "<span title=\"1536 bytes\">1.5 KiB</span>");
        assert_eq!(size(u64::MAX), format!("<span title=\"{} bytes\">16.0 EiB</span>", u64::MAX));
        let exact = Timestamp::new(-11_644_473_600, 100);
        assert_eq!(time(Some(exact)), "<time title=\"1601-01-01T00:00:00.0000001Z\">1601-01-01 00:00:00</time>");
        assert!(time(None).contains("not known"));
    }

    #[test]
    fn a_title_never_contains_an_element() {
        let page = Page::new("a\u{202e}</title><script>", None).finish("");
        assert!(page.contains("<title>aU+202E&lt;/title&gt;&lt;script&gt; · raptorgate</title>"), "{page}");
    }
}
