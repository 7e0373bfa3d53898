//! The pages in a real browser: what they show, that they change by themselves, their buttons and keys; and all of it without scripts.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::chromium::{self, Chromium};
use crate::support::gateway::{Gateway, url_path};
use crate::support::http::Http;
use crate::support::propfind;
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

/// A browser before a gateway that has the endpoint of a tree.
struct Desk {
    gateway: Gateway,
    http: Http,
    browser: Chromium,
    hostname: String,
    /// The endpoint's root.
    path: String,
}

impl Desk {
    fn before(tree: &Tree, scripts: bool) -> Desk {
        let gateway = Gateway::demo(&[tree.path()]);
        let client = gateway.endpoint(tree.path());
        let http = gateway.http();
        let browser = Chromium::start(&http, scripts);
        let path = url_path(&client, b"") + "/";
        Desk { gateway, http, browser, hostname: client.hostname, path }
    }
}

/// The text of a row's state.
fn state_of(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('tbody tr')].find((row) => row.querySelector('.name').innerText === '{name}')\
         .querySelector('.state').innerText"
    )
}

fn tick(name: &str) -> String {
    format!("tbody tr:has(a[href$='/{name}?info=1']) .pick input")
}

#[test]
fn a_directory_that_was_never_listed_shows_its_rows_by_itself() {
    skip_if!(chromium::missing());
    let tree = Tree::small();
    let Desk { mut browser, hostname, path, gateway: _gateway, .. } = Desk::before(&tree, true);
    browser.open("/");
    browser.until_said(&hostname);
    browser.open(&path);
    browser.until_said("readme.txt");
    browser.until("performance.getEntriesByType('navigation').length === 1");
    assert_eq!(browser.value("document.querySelectorAll('th[aria-sort]').length"), 6);
    browser.until_said("not collected");
}

#[test]
fn what_is_picked_is_collected_after_its_price_and_its_state_changes_by_itself() {
    skip_if!(chromium::missing());
    let tree = Tree::small();
    let Desk { gateway, http, mut browser, path, .. } = Desk::before(&tree, true);
    propfind::list(&http, &path);
    let before = gateway.control().flows();
    browser.open(&path);
    browser.click(&tick("readme.txt"));
    browser.until_said("1 selected");
    browser.click(".collect button");
    browser.until_said("Flows on the endpoint");
    assert_eq!(gateway.control().flows(), before, "a price costs nothing");
    browser.click("button.primary");
    browser.until(&format!("location.pathname === '{path}' && !!document.querySelector('.state')"));
    browser.value("window.untouched = true");
    browser.until(&format!("{}.length === 12", state_of("readme.txt")));
    assert_eq!(browser.value("window.untouched"), true, "the page was loaded anew as a whole");
    assert_eq!(gateway.control().flows(), before + 1);

    browser.open(&format!("{path}readme.txt?info=1"));
    browser.until_said("read me");
    browser.until_said("SHA-256 as received");
    browser.click("a[href$='view=hex#content']");
    browser.until_said("72 65 61 64 20 6d 65 0a");
}

#[test]
fn keys_move_filter_and_go_up() {
    skip_if!(chromium::missing());
    let tree = Tree::small();
    let Desk { gateway: _gateway, http, mut browser, path, .. } = Desk::before(&tree, true);
    propfind::list(&http, &path);
    propfind::list(&http, &format!("{path}documents/"));
    browser.open(&path);
    browser.until("!!document.querySelector('#every')");
    let focused = "document.activeElement.innerText";
    for (key, row) in
        [("j", "documents/"), ("j", "empty/"), ("ArrowDown", "pictures/"), ("k", "empty/"), ("k", "documents/")]
    {
        browser.press(key);
        browser.until(&format!("{focused} === '{row}'"));
    }
    browser.press("Enter");
    browser.until_said("report.txt");
    browser.press("u");
    browser.until_said("readme.txt");
    browser.press("/");
    browser.until("document.activeElement.id === 'filter'");
    browser.type_text("*.TXT");
    browser.press("Enter");
    browser.until_said("1 of 4 entries");
    let visible = "getComputedStyle(document.querySelector('tbody .name a')).outlineStyle";
    browser.press("Escape");
    browser.press("j");
    browser.until(&format!("{visible} === 'solid'"));
}

#[test]
fn everything_works_without_scripts() {
    skip_if!(chromium::missing());
    let tree = Tree::small();
    let Desk { gateway: _gateway, mut browser, path, .. } = Desk::before(&tree, false);
    // It was never listed: the page loads itself again until the rows are there.
    browser.open(&path);
    browser.until_said("readme.txt");
    browser.click(&tick("readme.txt"));
    browser.click(".collect button");
    browser.until_said("Flows on the endpoint");
    browser.click("button.primary");
    browser.until(&format!("!!document.querySelector('.state') && {}.length === 12", state_of("readme.txt")));
    browser.open("/-/activity");
    browser.until_said("/auto/readme.txt");
    browser.open(&path);
    browser.click("a[href='?sort=size&order=asc']");
    browser.until("document.querySelector('th[aria-sort=ascending]').innerText.startsWith('Size')");
}

#[test]
fn evidence_never_runs_and_nothing_is_fetched_from_elsewhere() {
    skip_if!(chromium::missing());
    let tree = Tree::small();
    tree.write("evil.html", b"<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">");
    tree.write(
        "<img src=x onerror=alert(1)>.svg",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=1'/>",
    );
    let Desk { gateway: _gateway, http, mut browser, path, .. } = Desk::before(&tree, true);
    propfind::list(&http, &path);
    assert_eq!(http.get(&format!("{path}evil.html")).status, 200);
    browser.open(&path);
    browser.until_said("<img src=x onerror=alert(1)>.svg");
    assert_eq!(browser.value("document.querySelectorAll('main img, main svg, main script').length"), 0);
    browser.open(&format!("{path}evil.html?info=1"));
    browser.until_said("<script>document.title");
    assert_eq!(browser.value("document.title"), "evil.html · raptorgate");
    assert_eq!(browser.value("document.querySelectorAll('main img, main script').length"), 0);
    let others =
        "performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith(location.origin)).length";
    assert_eq!(browser.value(others), 0);
}

#[test]
fn a_collection_that_does_not_end_is_seen_and_can_be_cancelled() {
    skip_if!(chromium::missing());
    let tree = Tree::small();
    let Desk { gateway, http, mut browser, path, .. } = Desk::before(&tree, true);
    propfind::list(&http, &path);
    gateway.control().ask(&json!({ "fault": { "stall_next_flows": 1 } }));
    let page = format!("{path}readme.txt?info=1");
    browser.open(&page);
    browser.until_said("not collected");
    browser.click("button.primary");
    browser.until("!!document.querySelector('.bar .badge') && !document.querySelector('button.primary')");
    browser.open("/-/activity");
    browser.click("button[aria-label^='Cancel flow']");
    let started = Instant::now();
    let cancelled = || http.request("GET", "/-/api/v1/activity", &[], b"").unwrap().text();
    while cancelled().contains("\"ended\":null") {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", cancelled());
        thread::sleep(Duration::from_millis(100));
    }
    browser.open(&page);
    browser.until("!!document.querySelector('button.primary')");
}
