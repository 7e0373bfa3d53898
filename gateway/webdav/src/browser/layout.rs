//! The frame of every page, and sizes and times as people read them.

use std::fmt::Write;

use vfs::Timestamp;

use super::escape::{attribute, text};
use crate::path::RequestPath;

/// A page that is being made.
pub(crate) struct Page {
    title: String,
    crumbs: String,
    here: &'static str,
    refresh: Option<u32>,
    always: bool,
    live: Option<String>,
}

impl Page {
    /// A page about `path`, or about the gateway itself.
    pub(crate) fn new(title: &str, path: Option<&RequestPath>) -> Page {
        Page {
            title: text(title).to_string(),
            crumbs: path.map(crumbs).unwrap_or_default(),
            here: "",
            refresh: None,
            always: false,
            live: None,
        }
    }

    /// It is this page of the gateway itself.
    pub(crate) fn at(mut self, here: &'static str) -> Page {
        self.here = here;
        self
    }

    /// A browser without scripts asks again every so many seconds.
    pub(crate) fn refresh_every(&mut self, seconds: u32) {
        self.refresh = Some(self.refresh.map_or(seconds, |other| other.min(seconds)));
    }

    /// Every browser asks again: there is nothing yet of which a script could hear.
    pub(crate) fn refresh_always(&mut self, seconds: u32) {
        self.refresh_every(seconds);
        self.always = true;
    }

    /// A browser with scripts hears from this address when something changes.
    pub(crate) fn live(&mut self, events: String) {
        self.live = Some(events);
    }

    /// The whole page around `body`.
    pub(crate) fn finish(self, body: &str) -> String {
        let (mut opening, closing) = self.split();
        opening.push_str(body);
        opening.push_str(closing);
        opening
    }

    /// What stands before the body of the page, and what after it.
    pub(crate) fn split(self) -> (String, &'static str) {
        let refresh = match self.refresh {
            None => String::new(),
            Some(seconds) if self.always => format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"),
            Some(seconds) => format!("<noscript><meta http-equiv=\"refresh\" content=\"{seconds}\"></noscript>"),
        };
        let live = self.live.map(|live| format!(" data-live=\"{}\"", attribute(&live))).unwrap_or_default();
        let title = strip_spans(&self.title);
        let mut links = String::new();
        for (href, word) in
            [("/", "Endpoints"), ("/-/activity", "Activity"), ("/-/connect", "Connect"), ("/-/health", "Health")]
        {
            let current = if self.here == href { " aria-current=\"page\"" } else { "" };
            let _ = write!(links, "<a href=\"{href}\"{current}>{word}</a>");
        }
        let opening = format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{refresh}\
             <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"/-/icon.svg\">\
             <title>{title} · raptorgate</title><link rel=\"stylesheet\" href=\"/-/style.css\">\
             <script src=\"/-/view.js\" defer></script></head><body{live}><a class=\"skip\" href=\"#main\">To the content</a>\
             <header><nav class=\"crumbs\" aria-label=\"Path\"><a class=\"home\" href=\"/\">raptorgate</a>{crumbs}</nav>\
             <nav class=\"site\" aria-label=\"Gateway\">{links}</nav></header><main id=\"main\">",
            crumbs = self.crumbs,
        );
        (opening, "</main></body></html>\n")
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
            let _ = write!(
                out,
                "<span class=\"sep\">/</span><span aria-current=\"page\"><bdi>{}</bdi></span>",
                text(segment)
            );
        } else {
            let rel = if index + 1 == last { " rel=\"up\"" } else { "" };
            let _ = write!(
                out,
                "<span class=\"sep\">/</span><a href=\"{}\"{rel}><bdi>{}</bdi></a>",
                at.directory_href(),
                text(segment)
            );
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

/// A number with its noun.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + many.len() + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out.push(' ');
    out.push_str(if number == 1 { one } else { many });
    out
}

/// Date, clock, and the digits below the second, of a time in UTC; `None` if its year cannot be written so.
fn parts(exact: &str) -> Option<(&str, &str, &str)> {
    let rest = exact.strip_suffix('Z')?;
    let (date, clock) = rest.split_once('T')?;
    let (clock, fraction) = clock.split_at_checked(8)?;
    (date.len() == 10).then_some((date, clock, fraction))
}

/// A time for people, in UTC to the second; the exact one is in the title.
pub(crate) fn time(time: Option<Timestamp>) -> String {
    let Some(time) = time else { return "<span class=\"dim\">not known</span>".to_owned() };
    let exact = time.to_rfc3339();
    match parts(&exact) {
        Some((date, clock, _)) => format!("<time title=\"{exact}\">{date} {clock}</time>"),
        None => format!("<time title=\"{exact}\">{exact}</time>"),
    }
}

/// A time in UTC with every digit that the endpoint reported.
pub(crate) fn exact_time(time: Option<Timestamp>) -> String {
    let Some(time) = time else { return "<span class=\"dim\">not known</span>".to_owned() };
    let exact = time.to_rfc3339();
    match parts(&exact) {
        Some((date, clock, "")) => format!("<time>{date} {clock}</time>"),
        // Where there is no room for the digits below the second they are told.
        Some((date, clock, fraction)) => format!("<time title=\"{exact}\">{date} {clock}<i>{fraction}</i></time>"),
        None => format!("<time>{exact}</time>"),
    }
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
        assert_eq!(
            exact_time(Some(exact)),
            "<time title=\"1601-01-01T00:00:00.0000001Z\">1601-01-01 00:00:00<i>.0000001</i></time>"
        );
        assert_eq!(exact_time(Some(Timestamp::new(0, 0))), "<time>1970-01-01 00:00:00</time>");
        assert!(time(None).contains("not known") && exact_time(None).contains("not known"));
    }

    #[test]
    fn long_numbers_are_read_in_groups() {
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(1_000_000, "file", "files"), "1\u{202f}000\u{202f}000 files");
    }

    #[test]
    fn a_title_never_contains_an_element() {
        let page = Page::new("a\u{202e}</title><script>", None).finish("");
        assert!(page.contains("<title>aU+202E&lt;/title&gt;&lt;script&gt; · raptorgate</title>"), "{page}");
    }

    #[test]
    fn a_browser_with_scripts_hears_instead_of_asking_again() {
        let mut page = Page::new("x", None);
        page.refresh_every(2);
        page.live("/-/api/v1/events?a=1&b=2".into());
        let page = page.finish("");
        assert!(page.contains("<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>"));
        assert!(page.contains("data-live=\"/-/api/v1/events?a=1&amp;b=2\""), "{page}");
    }
}
