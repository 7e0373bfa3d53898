//! What the pages do: filter, states, price, news, previews; and that nothing of evidence becomes markup.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use vfs::FileType;
use vfs::testing::FakeEntry;

use crate::html;
use crate::support::*;

pub const HEADERS: [(&str, &str); 3] =
    [("User-Agent", BROWSER), ("Accept", "text/html,*/*;q=0.8"), ("Sec-Fetch-Site", "same-origin")];

async fn page(gateway: &Gateway, path: &str) -> Response {
    ask(gateway, "GET", path, &HEADERS, b"").await
}

/// The page of a directory, once it is listed.
async fn listed(gateway: &Gateway, path: &str) -> Response {
    let plain = path.split('?').next().unwrap();
    let answer = ask(gateway, "PROPFIND", plain, &[("Depth", "1")], b"").await;
    assert_eq!(answer.status, 207, "{}", answer.text());
    page(gateway, path).await
}

async fn post(gateway: &Gateway, path: &str, body: &str) -> Response {
    ask(gateway, "POST", path, &HEADERS, body.as_bytes()).await
}

/// The id by which the page of a directory names the row of `name`.
fn row_id(page: &str, name: &str) -> String {
    let row = page.split("<tr>").find(|row| row.contains(&format!("<bdi>{name}</bdi>"))).expect("a row of this name");
    between(row, "name=\"f\" value=\"", "\"")[0].to_owned()
}

async fn until(gateway: &Gateway, path: &str, part: &str) -> Response {
    for _ in 0..2_000 {
        let response = page(gateway, path).await;
        if response.text().contains(part) {
            return response;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{path} never says {part}: {}", page(gateway, path).await.text());
}

#[tokio::test]
async fn a_filter_takes_parts_and_patterns_and_stays_while_pages_are_turned() {
    let gateway = gateway().await;
    let part = listed(&gateway, &linux("large/many-10000/?q=00012")).await;
    assert!(part.text().contains("11 of 10\u{202f}000 entries"), "{}", part.text());
    let pattern = page(&gateway, &linux("large/many-10000/?q=FILE-00*[05].bin&sort=size&order=desc")).await;
    assert!(pattern.text().contains("2000 of 10\u{202f}000 entries"));
    assert!(pattern.text().contains("1–1000 of 2000"));
    assert!(
        pattern.text().contains("?sort=size&amp;order=desc&amp;q=FILE-00%2A%5B05%5D.bin&amp;page=2\" rel=\"next\"")
    );
    html::check(pattern.text());
    let nothing = page(&gateway, &linux("large/many-10000/?q=%3Cb%3E%22")).await;
    assert!(
        nothing.text().contains("No name passes the filter.") && nothing.text().contains("value=\"&lt;b&gt;&quot;\"")
    );
    html::check(nothing.text());
}

#[tokio::test]
async fn a_very_large_directory_is_shown_in_its_own_order_until_another_is_asked_for() {
    let gateway = gateway().await;
    gateway.backend.add_directory(LINUX, "auto", &["large", "many-150000"]);
    let first = listed(&gateway, &linux("large/many-150000/")).await;
    assert!(first.text().contains("in the endpoint's order") && first.text().contains("1–1000 of 150000"));
    let last = page(&gateway, &linux("large/many-150000/?sort=name&order=desc")).await;
    assert!(between(last.text(), "<bdi>", "</bdi>").contains(&"file-149999.bin"));
    let json = ask(&gateway, "GET", &linux("large/many-150000/?json&page=150"), &[], b"").await;
    let value: Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((value["total"].as_u64(), value["entries"].as_array().map(Vec::len)), (Some(150_000), Some(1_000)));
}

#[tokio::test]
async fn all_four_times_are_shown_with_every_digit() {
    let gateway = gateway().await;
    let page = listed(&gateway, &linux("large/many-2500/")).await;
    assert_eq!(page.text().matches(">2017-07-14 02:40:00<i>.1234567</i></time>").count(), 4);
    for column in ["Size", "Modified (UTC)", "Accessed", "Changed", "Created"] {
        assert!(page.text().contains(&format!(">{column}</a></th>")), "{column}");
    }
}

#[tokio::test]
async fn what_is_picked_is_collected_only_after_its_price_was_shown() {
    let gateway = gateway().await;
    for (name, size) in [("one.txt", 100), ("two.txt", 1_000), ("three.log", 10_000)] {
        gateway.backend.add_file(LINUX, "auto", &["pick", name], vec![b'x'; size]);
    }
    gateway.backend.add_entry(
        LINUX,
        "auto",
        &["pick", "bad\u{fffd}"],
        FakeEntry { size: 5, unfetchable: true, ..FakeEntry::new(FileType::Regular) },
    );
    let directory = linux("pick/");
    let shown = listed(&gateway, &directory).await;
    let (one, two) = (row_id(shown.text(), "one.txt"), row_id(shown.text(), "two.txt"));
    let price =
        post(&gateway, &format!("{directory}?price"), &format!("view=sort%3Dsize%26order%3Dasc&f={one}&f={two}")).await;
    assert_eq!(price.status, 200);
    html::check(price.text());
    for part in ["Collect 2 files · <span title=\"1100 bytes\">1.1 KiB</span> · 2 flows", "one.txt", "two.txt"] {
        assert!(price.text().contains(part), "{part} in {}", price.text());
    }
    assert!(!price.text().contains("three.log"));
    assert_eq!(gateway.backend.fetches(), 0);
    let all = post(&gateway, &format!("{directory}?price"), "view=q%3Dbad&all=1").await;
    assert!(all.text().contains("Nothing of this has to be collected") && all.text().contains("no valid UTF-8"));

    let started =
        post(&gateway, &format!("{directory}?collect"), &format!("view=sort%3Dsize%26order%3Dasc&f={one}&f={two}"))
            .await;
    assert_eq!(started.status, 303);
    assert_eq!(started.header("location"), Some(&*format!("{directory}?sort=size&order=asc")));
    until(&gateway, &format!("{directory}?json&q=one"), "\"state\":\"collected\"").await;
    until(&gateway, &format!("{directory}?json&q=two"), "\"state\":\"collected\"").await;
    assert_eq!(gateway.backend.fetches(), 2);
    let again = post(&gateway, &format!("{directory}?price"), &format!("f={one}&f={two}")).await;
    assert!(again.text().contains("Nothing of this has to be collected"));
    let strange = post(&gateway, &format!("{directory}?collect"), "view=x%3D1%26q%3D%0A&f=zz").await;
    assert_eq!((strange.status, strange.header("location")), (303, Some(&*directory)));
    let foreign =
        ask(&gateway, "POST", &format!("{directory}?collect"), &[("Origin", "http://evil.example")], b"all=1").await;
    assert_eq!((foreign.status, gateway.backend.fetches()), (403, 2));
}

#[tokio::test]
async fn picked_files_leave_together_where_the_server_can_and_with_their_companions_otherwise() {
    let gateway = gateway().await;
    gateway.backend.set_fetch_many(true);
    for number in 0..600 {
        gateway.backend.add_file(LINUX, "auto", &["many", &format!("{number:03}.txt")], format!("content {number}"));
    }
    for name in ["SYSTEM", "SYSTEM.LOG1", "large"] {
        let size = if name == "large" { 33 << 20 } else { 100 };
        gateway.backend.add_file(LINUX, "auto", &["many", name], vec![1; size]);
    }
    let directory = linux("many/");
    listed(&gateway, &directory).await;
    let price = post(&gateway, &format!("{directory}?price"), "all=1").await;
    // 512 and 88 small ones, the large one, and the hive with its log from either side.
    assert!(
        price.text().contains("Collect 603 files") && price.text().contains("5 flows</button>"),
        "{}",
        price.text()
    );
    assert_eq!(gateway.backend.fetches(), 0);
    let some = post(&gateway, &format!("{directory}?price"), "all=1&view=q%3D0%3F%3F.txt").await;
    assert!(some.text().contains("Collect 100 files") && some.text().contains("1 flow</button>"));
    assert_eq!(post(&gateway, &format!("{directory}?collect"), "all=1").await.status, 303);
    until(&gateway, &format!("{directory}?q=large"), "class=\"badge listed").await;
    until(&gateway, &format!("{directory}?q=599"), "class=\"badge listed hash").await;
    until(&gateway, &format!("{directory}?q=SYSTEM.LOG1"), "class=\"badge listed").await;
    for _ in 0..2_000 {
        let json = ask(&gateway, "GET", &format!("{directory}?json"), &[], b"").await;
        if json.text().matches("\"state\":\"collected\"").count() == 603 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let json = ask(&gateway, "GET", &format!("{directory}?json"), &[], b"").await;
    assert_eq!(json.text().matches("\"state\":\"collected\"").count(), 603);
    assert!((3..=5).contains(&gateway.backend.fetches()), "{} flows", gateway.backend.fetches());
}

#[tokio::test]
async fn the_price_of_a_directory_counts_what_is_known_below_it() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["deep", "a", "1"], "1");
    gateway.backend.add_file(LINUX, "auto", &["deep", "a", "b", "2"], "22");
    gateway.backend.add_file(LINUX, "auto", &["deep", "a", "never", "3"], "333");
    for path in ["deep/", "deep/a/", "deep/a/b/"] {
        ask(&gateway, "PROPFIND", &linux(path), &[("Depth", "1")], b"").await;
    }
    let listings = gateway.backend.listings();
    let wish = serde_json::json!({"path": linux("deep"), "names": ["a"]}).to_string();
    let price = ask(&gateway, "POST", "/-/api/v1/price", &[], wish.as_bytes()).await;
    let price: Value = serde_json::from_slice(&price.body).unwrap();
    assert_eq!(gateway.backend.listings(), listings, "a price asks nobody");
    let never = price["never_listed"].as_u64().unwrap();
    let files = price["files"].as_u64().unwrap();
    // A listing may have brought the level below it along.
    assert!((files, never) == (2, 1) || (files, never) == (3, 0), "{price}");
    assert_eq!(price["bytes"].as_u64().unwrap(), if files == 2 { 3 } else { 6 });
}

#[tokio::test]
async fn a_page_hears_when_its_directory_is_listed_and_how_far_its_files_are() {
    let gateway = gateway().await;
    gateway.backend.hold_jobs();
    let before = page(&gateway, &linux("")).await;
    assert_eq!(before.status, 503);
    html::check(before.text());
    let live = between(before.text(), "data-live=\"", "\"")[0].replace("&amp;", "&");
    let mut listener = Client::connect(gateway.address).await;
    listener.write("GET", &live, &HEADERS, b"").await;
    let head = listener.read_head().await.unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let mut heard = String::new();
    while !heard.contains("event: sofar") {
        heard.push_str(std::str::from_utf8(&listener.read_chunk().await.unwrap()).unwrap());
    }
    assert!(heard.contains("being asked for this directory"), "{heard}");
    gateway.backend.release_jobs();
    while !heard.contains("event: page\ndata: {}\n\n") {
        heard.push_str(std::str::from_utf8(&listener.read_chunk().await.unwrap()).unwrap());
    }

    let shown = until(&gateway, &linux("etc/"), "hosts").await;
    let id = row_id(shown.text(), "hosts");
    assert_eq!(post(&gateway, &format!("{}?collect", linux("etc/")), &format!("f={id}")).await.status, 303);
    let mine = format!("\"id\":\"{id}\",\"class\":\"badge listed");
    let mut heard = String::new();
    while !heard.contains(&mine) {
        // As the script does: a stream that has said `page` ends, and the page that is loaded then has the address of the next.
        let shown = page(&gateway, &linux("etc/")).await;
        let live = between(shown.text(), "data-live=\"", "\"")[0].replace("&amp;", "&");
        let mut listener = Client::connect(gateway.address).await;
        listener.write("GET", &live, &HEADERS, b"").await;
        listener.read_head().await.unwrap();
        while !heard.contains(&mine)
            && let Some(chunk) = listener.read_chunk().await.filter(|chunk| !chunk.is_empty())
        {
            heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
    assert_eq!(gateway.backend.fetches(), 1);
}

#[tokio::test]
async fn the_beginning_of_a_collected_file_is_shown_and_never_collected_for_that() {
    let gateway = gateway().await;
    gateway.backend.add_file(LINUX, "auto", &["bin", "evil.html"], "<script>alert(1)</script>\u{202e}\n");
    gateway.backend.add_file(LINUX, "auto", &["bin", "program"], vec![0x7f, b'E', b'L', b'F', 0, 1, 2, 0xff, 0, 0]);
    let path = linux("bin/evil.html");
    let info = format!("{path}?info=1");
    listed(&gateway, &linux("bin/")).await;
    let before = page(&gateway, &info).await;
    assert!(!before.text().contains("class=\"content\"") && before.text().contains("$FN"));
    assert_eq!(gateway.backend.fetches(), 0);
    for name in ["evil.html", "program"] {
        post(&gateway, &linux(&format!("bin/{name}?collect")), "").await;
    }
    let text = until(&gateway, &info, "class=\"content\"").await;
    html::check(text.text());
    assert!(
        text.text().contains("&lt;script&gt;alert(1)&lt;/script&gt;<span class=\"odd\">202E</span>"),
        "{}",
        text.text()
    );
    let hex = page(&gateway, &format!("{info}&view=hex")).await;
    html::check(hex.text());
    assert!(hex.text().contains("<b>00000000</b>  3c 73 63 72 69 70 74 3e"));
    let binary = until(&gateway, &linux("bin/program?info=1"), "class=\"content\"").await;
    assert!(binary.text().contains("7f 45 4c 46 00 01 02 ff"));
    assert!(binary.text().contains("not known: complete by length"), "the endpoint's hash is never the gateway's");
    assert_eq!(gateway.backend.fetches(), 2);
}

#[tokio::test]
async fn a_flow_is_cancelled_by_a_button() {
    let gateway = gateway().await;
    gateway.backend.hold_jobs();
    page(&gateway, &linux("etc/")).await;
    let shown = until(&gateway, "/-/activity", "Cancel flow").await;
    html::check(shown.text());
    let job = between(shown.text(), "name=\"job\" value=\"", "\"")[0].to_owned();
    let foreign = ask(&gateway, "POST", "/-/activity?cancel", &[("Origin", "http://evil.example")], b"job=F.1").await;
    assert_eq!((foreign.status, gateway.backend.cancelled()), (403, 0));
    let pressed = post(&gateway, "/-/activity?cancel", &format!("job={job}")).await;
    assert_eq!((pressed.status, pressed.header("location")), (303, Some("/-/activity")));
    assert_eq!(gateway.backend.cancelled(), 1);
    assert_eq!(post(&gateway, "/-/activity?cancel", "job=F.nothing").await.status, 404);
}

#[tokio::test]
async fn the_gateways_own_pages_are_pages_and_json() {
    let gateway = gateway_with(|config| {
        config.status = std::sync::Arc::new(|| serde_json::json!({"version": "9.9", "calls": {"held": {"calls": 2, "failures": 1, "median_micros": 5, "most_micros": 2_000, "slowest_micros": 3_500_000}}}));
    })
    .await;
    for (path, part) in
        [("/-/health", "3.5 s"), ("/-/activity", "under way"), ("/-/connect", "Connect"), ("/", "Endpoints")]
    {
        let shown = page(&gateway, path).await;
        html::check(shown.text());
        assert!(shown.text().contains(part), "{path}: {}", shown.text());
        let json = ask(&gateway, "GET", &format!("{path}?json"), &HEADERS, b"").await;
        assert!(serde_json::from_slice::<Value>(&json.body).is_ok(), "{path}");
    }
}

#[tokio::test]
async fn every_row_of_the_first_page_can_be_found_by_its_words() {
    let gateway = gateway().await;
    let found = |words: &'static str| {
        let gateway = &gateway;
        async move {
            between(page(gateway, &format!("/?q={words}")).await.text(), "<td class=\"name\"><a href=\"/", "/\"").len()
        }
    };
    assert_eq!(found("").await, 3);
    assert_eq!(found("windows").await, 1);
    assert_eq!(found("linux+host-1111").await, 1);
    assert_eq!(found("linux+windows").await, 0);
    let online = page(&gateway, "/?q=linux&online=on").await;
    assert!(online.text().contains(LINUX) && !online.text().contains(OFFLINE));
}

/// Names that would be markup, directions, or other paths if they could.
fn names() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("<script>"),
            Just("</a>"),
            Just("\" onclick=\""),
            Just("'"),
            Just("&lt;"),
            Just("\u{202e}"),
            Just("\u{0}x"),
            Just("\n"),
            Just("%2F.."),
            Just("javascript:"),
            Just("?info=1"),
            Just("#"),
            Just(" "),
            Just("／"),
            Just("\u{fffd}"),
            Just("é"),
            Just("]]>"),
            Just("<!--"),
            Just("\\"),
            Just("\u{200b}"),
            Just("a"),
            Just("{{"),
            Just(";")
        ],
        1..6,
    )
    .prop_map(|parts| parts.concat())
    .prop_filter("no component of a path", |name| {
        name != "." && name != ".." && !name.contains('/') && !name.contains('\0')
    })
}

#[test]
fn no_name_becomes_markup_on_any_page() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() });
    let several = proptest::collection::vec(names(), 1..8);
    let round = std::cell::Cell::new(0_u32);
    runner
        .run(&several, |names| {
            round.set(round.get() + 1);
            let directory = format!("names-{}", round.get());
            runtime.block_on(async {
                let gateway = gateway().await;
                for name in &names {
                    gateway.backend.add_file(LINUX, "auto", &[&directory, name], name.clone());
                }
                gateway.backend.add_directory(LINUX, "auto", &[&directory, &format!("{}!", names[0])]);
                gateway.backend.add_link(LINUX, "auto", &[&directory, "link"], &names[0]);
                let shown = listed(&gateway, &linux(&format!("{directory}/"))).await;
                html::check(shown.text());
                for href in between(shown.text(), "<td class=\"name file\"><a href=\"", "\"") {
                    assert!(href.ends_with("?info=1") && href.starts_with('/'), "{href}");
                    let info = page(&gateway, href).await;
                    assert_eq!(info.status, 200, "{href}: {}", info.text());
                    html::check(info.text());
                }
                let all = post(&gateway, &linux(&format!("{directory}/?price")), "all=1").await;
                html::check(all.text());
            });
            Ok(())
        })
        .unwrap();
}
