//! READDIR and READDIRPLUS: every name once, from any cookie, in replies of the size that was asked for (D28).

use futures_util::StreamExt;

use super::client::{Client, names};
use super::{backend, start};
use vfs::FileType;
use vfs::testing::{FakeBackend, FakeEntry};

const TOOSMALL: u32 = 10_005;

fn fill(backend: &FakeBackend, count: usize) {
    for number in 0..count {
        backend.add_entry("C.1", "auto", &["many", &format!("entry-{number:06}")], FakeEntry::new(FileType::Regular));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_list_the_same_with_dots_and_usable_handles() {
    let backend = backend();
    backend.add_file("C.1", "auto", &["many", "a"], "12345");
    backend.add_directory("C.1", "auto", &["many", "b"]);
    backend.add_link("C.1", "auto", &["many", "c"], "a");
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let auto = client.mount("/C.1/auto");
    let (many, _) = client.lookup(&auto, "many");
    // Its listing comes with that of `many`, a moment later, and changes its attributes.
    let (below, _) = client.lookup(&many, "b");
    client.list(&below, 0, false, 4096);
    let plain = client.list(&many, 0, false, 4096);
    let plus = client.list(&many, 0, true, 4096);
    assert_eq!(names(&plain), [".", "..", "a", "b", "c"]);
    assert_eq!((plain[0].cookie, plain[1].cookie), (1, 2));
    assert_eq!(plain[0].file_id, client.getattr(&many).file_id);
    assert_eq!(plain[1].file_id, client.getattr(&auto).file_id);
    for (plain, plus) in plain.iter().zip(&plus) {
        assert_eq!((&plain.name, plain.file_id, plain.cookie), (&plus.name, plus.file_id, plus.cookie));
    }
    for entry in &plus[2..] {
        let handle = entry.handle.as_ref().unwrap();
        assert_eq!(entry.attributes.as_ref(), Some(&client.getattr(handle)));
        assert_eq!(client.lookup(&many, &entry.name), (handle.clone(), entry.attributes.clone()));
    }
    assert_eq!(backend.listings(), 2, "the listing makes all that follows free");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_from_every_cookie_that_was_given() {
    let backend = backend();
    fill(&backend, 150);
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let many = client.mount("/C.1/auto/many");
    let all = client.list(&many, 0, false, 65_536);
    assert_eq!(all.len(), 152);
    for (position, entry) in all.iter().enumerate() {
        for is_plus in [false, true] {
            let rest = client.list(&many, entry.cookie, is_plus, 900);
            assert_eq!(names(&rest), names(&all[position + 1..]), "after {}", entry.name);
        }
    }
    let strange = client.list(&many, u64::MAX, false, 65_536);
    assert_eq!(strange.len(), 152, "a cookie that nobody gave out is the beginning, never an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reply_is_larger_than_asked_and_none_wastes_room() {
    let backend = backend();
    fill(&backend, 60);
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let many = client.mount("/C.1/auto/many");
    for (is_plus, largest_entry, dot) in [(false, 36, 28), (true, 36 + 88 + 72, 28 + 88 + 72)] {
        let frame = 88 + 8 + 4 + 4;
        for count in (0..2_600).step_by(4) {
            match client.page(&many, 0, is_plus, count) {
                Err(status) => {
                    assert_eq!(status, TOOSMALL);
                    assert!((count as usize) < frame + dot, "{count} has room for an entry");
                }
                Ok(page) => {
                    assert!(page.bytes <= count as usize, "{} > {count}", page.bytes);
                    assert!(page.eof || page.bytes + largest_entry > count as usize, "{} of {count}", page.bytes);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dircount_bounds_the_names_and_maxcount_the_whole() {
    use super::client::Xdr;
    let backend = backend();
    fill(&backend, 60);
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let many = client.mount("/C.1/auto/many");
    // `.` takes 28 bytes of names, `..` 28, every other entry 36.
    for (dircount, expected) in [(0, 1), (28, 1), (56, 2), (91, 2), (92, 3), (128, 4), (65_536, 62)] {
        let arguments = Xdr::new().opaque(&many).u64(0).u64(0).u32(dircount).u32(65_536);
        let (status, mut reader) = client.nfs(17, &arguments);
        assert_eq!(status, 0);
        reader.optional_attributes();
        reader.fixed(8);
        let mut count = 0;
        while reader.u32() == 1 {
            let _ = (
                reader.u64(),
                reader.text(),
                reader.u64(),
                reader.optional_attributes(),
                (reader.u32() == 1).then(|| reader.opaque()),
            );
            count += 1;
        }
        assert_eq!(count, expected, "dircount {dircount}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_size_only_reading_tells_is_listed_without_attributes() {
    let backend = backend();
    let content = bytes::Bytes::from_static(b"four");
    backend.add_entry(
        "C.1",
        "auto",
        &["proc", "stat"],
        FakeEntry { size_unknown: true, content, ..FakeEntry::new(FileType::Regular) },
    );
    let (_server, address) = start(&backend).await;
    let mut client = Client::connect(address);
    let proc = client.mount("/C.1/auto/proc");
    let all = client.list(&proc, 0, true, 4096);
    assert_eq!(all[2].name, "stat");
    assert_eq!(all[2].attributes, None);
    let (stat, attributes) = client.lookup(&proc, "stat");
    assert_eq!(attributes, None);
    assert_eq!(all[2].handle.as_ref(), Some(&stat));
    assert_eq!(client.getattr(&stat).size, 4, "GETATTR waits for the content and is never 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_finishes_the_generation_that_it_began() {
    let backend = backend();
    fill(&backend, 100);
    let vfs = vfs::testing::vfs(&backend);
    let server = raptorgate_nfs::Server::start(vfs.clone(), super::config()).await.unwrap();
    let mut client = Client::connect(server.addresses()[0]);
    let many = client.mount("/C.1/auto/many");
    let first = client.page(&many, 0, false, 1_000).unwrap();
    let before = client.getattr(&many);
    for number in 0..50 {
        backend.remove("C.1", "auto", &["many", &format!("entry-{number:06}")]);
    }
    let node = vfs.node(&many).unwrap();
    let mut progress = vfs.refresh(&node, 0, &vfs::testing::call());
    while progress.next().await.is_some() {}
    assert_ne!(client.getattr(&many).times[2], before.times[2], "kernels must notice a refresh");
    let mut seen = first.entries.clone();
    seen.extend(client.list(&many, seen.last().unwrap().cookie, true, 1_000));
    assert_eq!(seen.len(), 102, "nothing lost, nothing doubled");
    assert_eq!(client.list(&many, 0, false, 65_536).len(), 52, "a new reader sees the new listing");
}
