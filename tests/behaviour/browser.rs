//! A web browser sees pages, spends nothing by looking, and cannot be made a tool of other sites (D3).

use std::thread;
use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, url_path};
use crate::support::http::{Http, Response};
use crate::support::propfind;
use crate::support::tree::Tree;

/// What Firefox sends when somebody types an address.
const TYPED: [(&str, &str); 6] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "none"),
    ("Upgrade-Insecure-Requests", "1"),
];

/// The same with one header changed or added.
fn typed_but<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let others = TYPED.into_iter().filter(|(other, _)| *other != name);
    others.chain([(name, value)]).collect()
}

fn ask(http: &Http, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    http.request(method, path, headers, b"").unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

#[test]
fn a_directory_is_a_page_with_its_entries() {
    let tree = Tree::small();
    tree.write("<script>alert(1)<", b"not a script\n");
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let path = url_path(&client, b"") + "/";
    let started = Instant::now();
    // A page that waits for a listing says so, and asks to be loaded again.
    let page = loop {
        let response = ask(&http, "GET", &path, &TYPED);
        assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{response:?}");
        let page = response.text();
        if page.contains("readme.txt") {
            break page;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{page}");
        thread::sleep(Duration::from_millis(200));
    };
    for name in ["documents/", "pictures/", "empty/"] {
        assert!(page.contains(name), "no {name} in {page}");
    }
    assert_eq!(page.matches("<script").count(), 1, "a name became part of the page: {page}");
}

#[test]
fn looking_at_a_file_collects_nothing_until_a_button_is_pressed() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    propfind::list(&http, &(url_path(&client, b"") + "/"));
    let before = gateway.control().flows();
    let path = url_path(&client, b"readme.txt");
    let page = ask(&http, "GET", &path, &TYPED);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
    assert!(!page.text().contains("read me"), "the content came without being asked for");
    assert_eq!(gateway.control().flows(), before);

    let pressed = ask(&http, "POST", &format!("{path}?collect"), &typed_but("Sec-Fetch-Site", "same-origin"));
    assert!((200..400).contains(&pressed.status), "{}: {}", pressed.status, pressed.text());
    let started = Instant::now();
    while http.get(&path).body != b"read me\n" {
        assert!(started.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(gateway.control().flows(), before + 1);
}

#[test]
fn other_sites_and_prefetching_start_nothing() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let before = gateway.control().flows();
    let folder = url_path(&client, b"") + "/";
    for headers in [
        typed_but("Sec-Fetch-Site", "cross-site"),
        typed_but("Sec-Fetch-Site", "same-site"),
        typed_but("Sec-Purpose", "prefetch"),
    ] {
        let response = ask(&http, "GET", &folder, &headers);
        assert_eq!(response.status, 403, "{headers:?}: {}", response.text());
        let response = ask(&http, "POST", &format!("{folder}?refresh"), &headers);
        assert!((400..500).contains(&response.status), "{headers:?}: {}", response.text());
    }
    assert_eq!(gateway.control().flows(), before);
}

#[test]
fn strangers_are_refused_on_the_loopback_too() {
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let without = Http { authorization: None, ..http.clone() };
    let refused = ask(&without, "GET", "/", &[]);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic")), "{refused:?}");
    let guessed = Http::new(&gateway.ready().webdav, Some(("raptorgate", "guess")));
    assert_eq!(ask(&guessed, "PROPFIND", "/", &[("Depth", "1")]).status, 401);
    for host in ["attacker.example", "attacker.example:80"] {
        let response = ask(&http, "GET", "/", &[("Host", host)]);
        assert_eq!(response.status, 421, "Host: {host}: {}", response.text());
    }
}
