//! Readers of a directory that changes all the time, against a model: each sees one generation, every name of it once (D28).

use std::sync::Arc;

use futures_util::StreamExt;
use raptorgate_nfs::Server;
use vfs::testing::{FakeBackend, call};
use vfs::{Node, Vfs};

use super::client::Client;

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// Somebody who goes through the directory page by page.
struct Reader {
    /// What the directory held when it read the first entry. `.` and `..` belong to every generation.
    expected: Vec<String>,
    seen: Vec<String>,
    cookie: u64,
}

impl Reader {
    fn begin() -> Reader {
        Reader { expected: Vec::new(), seen: Vec::new(), cookie: 0 }
    }

    /// Reads one page; true at the end.
    fn step(&mut self, client: &mut Client, directory: &[u8], names: &[String], random: &mut Random) -> bool {
        if self.seen.len() <= 2 {
            let dots = [".".to_owned(), "..".to_owned()];
            self.expected = dots.into_iter().chain(names.iter().cloned()).collect();
        }
        let (count, is_plus) = (u32::try_from(500 + random.below(1_500)).unwrap(), random.below(2) == 0);
        // Clients ask again from earlier cookies than they have received.
        let page = client.page(directory, self.cookie, is_plus, count).unwrap();
        let taken = match page.eof {
            true => page.entries.len(),
            false => 1 + random.below(page.entries.len()),
        };
        for entry in &page.entries[..taken] {
            self.seen.push(entry.name.clone());
            self.cookie = entry.cookie;
        }
        page.eof
    }
}

/// Adds or removes a few entries on the endpoint and lists the directory anew.
async fn change(
    backend: &Arc<FakeBackend>,
    vfs: &Vfs,
    node: &Node,
    names: &mut Vec<String>,
    random: &mut Random,
    step: usize,
) {
    for number in 0..=random.below(3) {
        if names.len() > 20 && random.below(2) == 0 {
            let name = names.remove(random.below(names.len()));
            backend.remove("C.1", "auto", &["dir", &name]);
        } else {
            let name = format!("{}-{step}-{number}", "x".repeat(1 + random.below(40)));
            backend.add_file("C.1", "auto", &["dir", &name], name.clone());
            names.push(name);
        }
    }
    let mut progress = vfs.refresh(node, 0, &call());
    while progress.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_sees_one_generation_whole_while_the_directory_changes() {
    for seed in 1..=5 {
        let mut random = Random(seed);
        let backend = super::backend();
        let mut names = Vec::new();
        for number in 0..60 {
            let name = format!("name-{number}");
            backend.add_file("C.1", "auto", &["dir", &name], name.clone());
            names.push(name);
        }
        let vfs = vfs::testing::vfs(&backend);
        let server = Server::start(vfs.clone(), super::config()).await.unwrap();
        let mut client = Client::connect(server.addresses()[0]);
        let directory = client.mount("/C.1/auto/dir");
        let node = vfs.node(&directory).unwrap();
        client.list(&directory, 0, false, 65_536);
        let mut readers: Vec<Reader> = Vec::new();
        let mut finished = 0;
        for step in 0..1_500 {
            if step % 60 == 0 {
                change(&backend, &vfs, &node, &mut names, &mut random, step).await;
            }
            if readers.len() < 3 {
                readers.push(Reader::begin());
            }
            let which = random.below(readers.len());
            if readers[which].step(&mut client, &directory, &names, &mut random) {
                let reader = readers.remove(which);
                assert_eq!(reader.seen, reader.expected, "seed {seed} step {step}");
                finished += 1;
            }
            let name = &names[random.below(names.len())];
            let (handle, attributes) = client.lookup(&directory, name);
            assert_eq!(attributes.as_ref(), Some(&client.getattr(&handle)), "seed {seed} step {step}");
            assert_eq!(attributes.unwrap().size, name.len() as u64);
        }
        assert!(finished > 20, "seed {seed}: {finished} readers came to their end");
    }
}
