//! Many readers of a tree that changes all the time, against a reference model: what it was at every moment is remembered, and each answer
//! has to be one that was true at a moment of the call (D5, D6, D28).
//!
//! `RAPTORGATE_MODEL_OPERATIONS` says how many operations (50,000), `RAPTORGATE_MODEL_SEED` which ones.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_util::StreamExt;
use raptorgate_nfs::Server;
use vfs::testing::{FakeBackend, MemoryStore, call, vfs_with};
use vfs::{Settings, Vfs};

use super::client::{Attributes, Client, Entry, Xdr};

const STALE: u32 = 70;
const NOENT: u32 = 2;
/// The endpoint has no such file any more, and no listing has proved it yet.
const NXIO: u32 = 6;
const READERS: usize = 4;
/// Where the directories are.
const PLACES: [&[&str]; 6] = [&["a"], &["a", "b"], &["a", "b", "c"], &["d"], &["d", "e"], &["large"]];

/// A small generator, so that a run can be repeated from its seed, as far as threads allow.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}

/// One state of a file: its length tells which, so that no two states of one name are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    number: u32,
    length: usize,
}

/// What a name in a directory was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File(Version),
}

/// The entries of a directory in their order.
type State = Vec<(String, Kind)>;

/// The content of a state of a file: every eight bytes tell the name, the state and the place.
fn content(directory: usize, name: &str, version: Version) -> Vec<u8> {
    let seed = name.bytes().fold(directory as u64 + 1, |seed, byte| seed.wrapping_mul(131).wrapping_add(byte.into()));
    let words = (0..).map(|at: u64| {
        let word = (seed ^ (u64::from(version.number) << 40) ^ at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (word ^ word >> 29).to_be_bytes()
    });
    words.flatten().take(version.length).collect()
}

/// What one directory was, is and is about to be.
#[derive(Default)]
struct Place {
    /// All states, oldest first. The last one may not be listed yet.
    states: Vec<State>,
    /// So many of them have been listed.
    listed: usize,
    /// All states that a file of this name had.
    versions: HashMap<String, Vec<Version>>,
    /// What readers saw of each generation: names by ordinal, and whether that was all.
    seen: BTreeMap<u32, (Vec<Option<String>>, bool)>,
    /// The newest generation that anybody saw.
    newest: u32,
    /// A file of it was read: from then on it and those beside it may be collected, and a collected state stays current for a while
    /// when the listing says something newer (SEMANTICS 5.5).
    is_read: bool,
}

#[derive(Default)]
struct World {
    places: Vec<Place>,
    file_ids: HashMap<(usize, String), u64>,
    /// The content that a handle was read to have.
    bound: HashMap<Vec<u8>, u32>,
}

struct Shared {
    world: Mutex<World>,
    left: AtomicU64,
    done: Mutex<BTreeMap<&'static str, u64>>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// The states that may be the answer to a call that began when so many had been listed.
    fn possible(&self, place: usize, listed_before: usize) -> &[State] {
        &self.places[place].states[listed_before - 1..]
    }

    fn check_file_id(&mut self, place: usize, name: &str, file_id: u64) {
        let known = *self.file_ids.entry((place, name.to_owned())).or_insert(file_id);
        assert_eq!(known, file_id, "{name}: one object, one number");
    }

    /// Whether a name's attributes are those of one of its states, from `oldest` on.
    fn check_attributes(&self, place: usize, name: &str, kind: Kind, attributes: &Attributes) {
        match kind {
            Kind::Directory => assert_eq!(attributes.file_type, 2, "{name}"),
            Kind::File(oldest) => {
                assert_eq!(attributes.file_type, 1, "{name}");
                // A version that was collected has the size of what was collected, which may have been a later state.
                let oldest = if self.places[place].is_read { self.places[place].versions[name][0] } else { oldest };
                let state = self.state_of(place, name, attributes.size);
                assert!(
                    state.is_some_and(|state| state.number >= oldest.number),
                    "{name}: {} bytes, never from state {oldest:?} on",
                    attributes.size
                );
            }
        }
    }

    fn state_of(&self, place: usize, name: &str, size: u64) -> Option<Version> {
        self.places[place].versions.get(name)?.iter().find(|state| state.length as u64 == size).copied()
    }

    /// A page that was asked for after `cookie`.
    fn check_page(&mut self, place: usize, listed_before: usize, cookie: u64, entries: &[Entry], eof: bool) {
        let mut expected = match cookie {
            0..=2 => None,
            _ => Some(((cookie >> 32) as u32, (cookie & 0xffff_ffff) - 2)),
        };
        let mut from_start = expected.is_none();
        let known = &self.places[place];
        // At the page's start: the generation that is gone on in, or, if that is long gone, the beginning of a newer one.
        if let (Some((generation, _)), Some(first)) = (expected, entries.first()) {
            let given = (first.cookie >> 32) as u32;
            if given != generation {
                assert!(first.name == "." && first.cookie == 1, "{cookie:x} goes on with {first:?}");
                // The one before the newest is always kept.
                let newest =
                    entries.iter().map(|entry| (entry.cookie >> 32) as u32).max().unwrap_or(0).max(known.newest);
                assert!(newest >= generation + 2, "generation {generation} is gone while {newest} is the newest");
                (expected, from_start) = (None, true);
            }
        }
        let dots = if cookie < 3 { cookie as usize } else { 0 };
        let mut generation = expected.map(|(generation, _)| generation);
        let mut ordinal = expected.map_or(0, |(_, ordinal)| ordinal);
        for (at, entry) in entries.iter().enumerate() {
            if from_start && at + dots < 2 {
                assert_eq!(entry.name, [".", ".."][at + dots]);
                assert_eq!(entry.cookie, (at + dots + 1) as u64);
                continue;
            }
            let given = (entry.cookie >> 32) as u32;
            assert_eq!(*generation.get_or_insert(given), given, "one page, one generation");
            assert_eq!(entry.cookie & 0xffff_ffff, ordinal + 3, "{entry:?}");
            let (seen, _) = self.places[place].seen.entry(given).or_default();
            let index = usize::try_from(ordinal).unwrap();
            if seen.len() <= index {
                seen.resize(index + 1, None);
            }
            let before = seen[index].get_or_insert_with(|| entry.name.clone());
            assert_eq!(*before, entry.name, "entry {ordinal} of generation {given}");
            self.check_file_id(place, &entry.name, entry.file_id);
            if let Some(attributes) = &entry.attributes {
                assert_eq!(attributes.file_id, entry.file_id);
                let state = self.first_state(place, &entry.name);
                self.check_attributes(place, &entry.name, state, attributes);
            }
            ordinal += 1;
        }
        let Some(generation) = generation else { return };
        self.places[place].newest = self.places[place].newest.max(generation);
        if eof {
            let (seen, whole) = self.places[place].seen.entry(generation).or_default();
            assert_eq!(seen.len() as u64, ordinal, "generation {generation} ends where it ended before");
            *whole = true;
        }
        // What was asked for from the start is not older than what had been listed before.
        if from_start && eof && cookie == 0 {
            let names: Vec<&str> = entries.iter().skip(2).map(|entry| entry.name.as_str()).collect();
            let states = self.possible(place, listed_before);
            assert!(states.iter().any(|state| names_of(state) == names), "a listing that was never true: {names:?}");
        }
    }

    fn first_state(&self, place: usize, name: &str) -> Kind {
        let file = self.places[place].versions.get(name).map(|versions| Kind::File(versions[0]));
        file.unwrap_or(Kind::Directory)
    }

    /// At the end: every generation that was seen whole is a state, and they came in the order of the states.
    fn check_generations(&self) -> usize {
        let mut whole = 0;
        for (number, place) in self.places.iter().enumerate() {
            let mut from = 0;
            for (generation, (seen, is_whole)) in &place.seen {
                let fits = |state: &State| {
                    (!is_whole || state.len() == seen.len())
                        && seen.len() <= state.len()
                        && seen.iter().zip(state).all(|(seen, (name, _))| seen.as_ref().is_none_or(|seen| seen == name))
                };
                let found = place.states[from..].iter().position(fits);
                from += found.unwrap_or_else(|| panic!("generation {generation} of {number} was never true: {seen:?}"));
                whole += usize::from(*is_whole && seen.iter().all(Option::is_some));
            }
        }
        whole
    }
}

fn names_of(state: &State) -> Vec<&str> {
    state.iter().map(|(name, _)| name.as_str()).collect()
}

/// One connection of one reader.
struct Reader {
    client: Client,
    random: Random,
    shared: Arc<Shared>,
    directories: Vec<Vec<u8>>,
    /// Cookies of all times.
    cookies: Vec<Vec<u64>>,
    /// Handles of files, of all times: directory, name, the state they were found in.
    files: Vec<(usize, String, Version, Vec<u8>)>,
}

impl Reader {
    fn run(mut self) {
        while self.shared.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            let what = match self.random.below(10) {
                0..=1 => self.page(false),
                2..=3 => self.page(true),
                4..=5 => self.lookup(),
                6..=7 => self.getattr(),
                _ => self.read(),
            };
            let mut done = self.shared.done.lock().unwrap_or_else(PoisonError::into_inner);
            *done.entry(what).or_default() += 1;
        }
    }

    fn listed(&self, place: usize) -> usize {
        self.shared.world().places[place].listed
    }

    fn page(&mut self, is_plus: bool) -> &'static str {
        let place = self.random.below(PLACES.len());
        let cookie = match self.random.below(4) {
            0 => 0,
            1 => self.cookies[place].last().copied().unwrap_or(0),
            _ => self.random.of(&self.cookies[place]).copied().unwrap_or(0),
        };
        let most = if self.random.below(3) == 0 { 60_000 } else { 3_000 };
        let room = u32::try_from(600 + self.random.below(most)).unwrap();
        let before = self.listed(place);
        let page = self.client.page(&self.directories[place], cookie, is_plus, room);
        let page = page.unwrap_or_else(|status| panic!("cookie {cookie:x} of {place} got status {status}"));
        assert!(!page.entries.is_empty() || page.eof);
        self.shared.world().check_page(place, before, cookie, &page.entries, page.eof);
        let kept = &mut self.cookies[place];
        kept.extend(page.entries.iter().map(|entry| entry.cookie));
        if kept.len() > 4_000 {
            kept.drain(..2_000);
        }
        "READDIR"
    }

    fn lookup(&mut self) -> &'static str {
        let place = self.random.below(PLACES.len());
        let (name, before) = {
            let world = self.shared.world();
            let states = &world.places[place].states;
            let state = &states[states.len() - 1 - self.random.below(states.len().min(3))];
            let name = match self.random.below(8) {
                0 => "nobody has this name".to_owned(),
                _ => self.random.of(state).map_or_else(|| "nothing".to_owned(), |(name, _)| name.clone()),
            };
            (name, world.places[place].listed)
        };
        let arguments = Xdr::new().opaque(&self.directories[place]).opaque(name.as_bytes());
        let (status, mut reader) = self.client.nfs(3, &arguments);
        let mut world = self.shared.world();
        let was = |state: &State| state.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind);
        let possible: Vec<Option<Kind>> = world.possible(place, before).iter().map(was).collect();
        match status {
            0 => {
                let handle = reader.opaque();
                let attributes = reader.optional_attributes().expect("attributes");
                let kind = possible.iter().flatten().next().unwrap_or_else(|| panic!("{name} was never there"));
                world.check_file_id(place, &name, attributes.file_id);
                world.check_attributes(place, &name, *kind, &attributes);
                let version = world.state_of(place, &name, attributes.size);
                drop(world);
                if let Some(version) = version {
                    self.files.push((place, name, version, handle));
                    if self.files.len() > 2_000 {
                        self.files.drain(..1_000);
                    }
                }
            }
            NOENT => assert!(possible.iter().any(Option::is_none), "{name} is there: {possible:?}"),
            status => panic!("LOOKUP of {name}: {status}"),
        }
        "LOOKUP"
    }

    fn getattr(&mut self) -> &'static str {
        let Some((place, name, version, handle)) = self.random.of(&self.files).cloned() else {
            let place = self.random.below(PLACES.len());
            assert_eq!(self.client.getattr(&self.directories[place]).file_type, 2);
            return "GETATTR";
        };
        let before = self.listed(place);
        let (status, mut reader) = self.client.nfs(1, &Xdr::new().opaque(&handle));
        let mut world = self.shared.world();
        match status {
            0 => {
                let attributes = reader.attributes();
                world.check_file_id(place, &name, attributes.file_id);
                world.check_attributes(place, &name, Kind::File(version), &attributes);
                if let Some(bound) = world.bound.get(&handle) {
                    let state = world.places[place].versions[&name].iter().find(|state| state.number == *bound);
                    assert_eq!(attributes.size, state.unwrap().length as u64, "the size of what READ gives");
                }
            }
            STALE => assert!(world.may_be_stale(place, before, &name, version, &handle), "{name} is there"),
            status => panic!("GETATTR of {name}: {status}"),
        }
        "GETATTR"
    }

    fn read(&mut self) -> &'static str {
        let Some((place, name, version, handle)) = self.random.of(&self.files).cloned() else {
            return self.lookup();
        };
        self.shared.world().places[place].is_read = true;
        let before = self.listed(place);
        let (offset, count) = (self.random.below(version.length + 10), 8 + self.random.below(20_000));
        let arguments = Xdr::new().opaque(&handle).u64(offset as u64).u32(u32::try_from(count).unwrap());
        let (status, mut reader) = self.client.nfs(6, &arguments);
        let mut world = self.shared.world();
        match status {
            0 => {
                let size = reader.optional_attributes().expect("attributes").size;
                let (_count, eof) = (reader.u32(), reader.u32() == 1);
                let data = reader.opaque();
                let states = &world.places[place].versions[&name];
                let gives = |state: &&Version| {
                    let whole = content(place, &name, **state);
                    let end = whole.len().min(offset + count);
                    state.length as u64 == size && data == whole[offset.min(end)..end] && eof == (end == whole.len())
                };
                let found: Vec<u32> = states.iter().filter(gives).map(|state| state.number).collect();
                assert_eq!(
                    found.len(),
                    1,
                    "READ of {name} {version:?} at {offset}: {} bytes of no one state",
                    data.len()
                );
                assert!(found[0] >= version.number, "{name} {version:?}: bytes of an earlier state");
                let bound = *world.bound.entry(handle).or_insert(found[0]);
                assert_eq!(bound, found[0], "{name}: a handle has one content, for ever");
            }
            status => assert!(
                matches!(status, STALE | NXIO) && world.may_be_stale(place, before, &name, version, &handle),
                "READ of {name} {version:?}: {status}"
            ),
        }
        "READ"
    }
}

impl World {
    /// Whether a handle may be gone: it was never read, and its state was not the last one all the time.
    fn may_be_stale(&self, place: usize, listed_before: usize, name: &str, version: Version, handle: &[u8]) -> bool {
        let is_there = |state: &State| state.contains(&(name.to_owned(), Kind::File(version)));
        !self.bound.contains_key(handle) && !self.possible(place, listed_before).iter().all(is_there)
    }
}

/// Changes the tree on the endpoint and lists what changed.
struct Endpoint {
    backend: Arc<FakeBackend>,
    vfs: Vfs,
    random: Random,
    shared: Arc<Shared>,
    next: u32,
}

impl Endpoint {
    fn path(place: usize, name: &str) -> Vec<&str> {
        PLACES[place].iter().copied().chain([name]).collect()
    }

    /// Writes a file: the state is known before it is on the endpoint, where anybody may list it at once.
    fn put_file(&mut self, place: usize, name: &str) {
        self.next += 1;
        // No two states of a name have the same length: listings could not tell them apart.
        let length = 16 + (self.random.below(40) * 100_000 + self.next as usize) % 30_000;
        let mut world = self.shared.world();
        let versions = world.places[place].versions.entry(name.to_owned()).or_default();
        let length = (length..).find(|length| versions.iter().all(|version| version.length != *length)).unwrap();
        let version = Version { number: self.next, length };
        versions.push(version);
        let mut state = world.places[place].states.last().cloned().unwrap_or_default();
        match state.iter_mut().find(|(other, _)| other == name) {
            Some((_, kind)) => *kind = Kind::File(version),
            None => state.push((name.to_owned(), Kind::File(version))),
        }
        world.places[place].states.push(state);
        drop(world);
        self.backend.add_file("C.1", "auto", &Self::path(place, name), content(place, name, version));
    }

    fn remove_file(&mut self, place: usize, name: &str) {
        let mut world = self.shared.world();
        let mut state = world.places[place].states.last().unwrap().clone();
        state.retain(|(other, _)| other != name);
        world.places[place].states.push(state);
        drop(world);
        self.backend.remove("C.1", "auto", &Self::path(place, name));
    }

    /// The first state of a directory.
    fn fill(&mut self, place: usize) {
        let depth = PLACES[place].len();
        let children = PLACES.iter().filter(|other| other.len() == depth + 1 && other.starts_with(PLACES[place]));
        let state: State = children.map(|child| (child[depth].to_owned(), Kind::Directory)).collect();
        self.shared.world().places[place].states.push(state);
        let count = if PLACES[place] == ["large"] { 700 } else { 1 + self.random.below(40) };
        for number in 0..count {
            let name = format!("{}{number}", "n".repeat(1 + self.random.below(30)));
            self.put_file(place, &name);
        }
    }

    async fn list(&self, place: usize) {
        let names: Vec<&str> = ["C.1", "auto"].into_iter().chain(PLACES[place].iter().copied()).collect();
        let node = self.vfs.resolve(&names, false, &call()).await.unwrap().node;
        let mut progress = self.vfs.refresh(&node, 0, &call());
        while progress.next().await.is_some() {}
        let mut world = self.shared.world();
        world.places[place].listed = world.places[place].states.len();
    }

    async fn change(&mut self) {
        let place = self.random.below(PLACES.len());
        for _ in 0..=self.random.below(4) {
            let state = self.shared.world().places[place].states.last().unwrap().clone();
            let is_file = |(_, kind): &&(String, Kind)| *kind != Kind::Directory;
            let files: Vec<&str> = state.iter().filter(is_file).map(|(name, _)| name.as_str()).collect();
            match (self.random.below(3), self.random.of(&files)) {
                (0, Some(name)) if files.len() > 1 => self.remove_file(place, name),
                (1, Some(name)) => self.put_file(place, name),
                _ => {
                    let name = format!("{}{}", "m".repeat(1 + self.random.below(30)), self.random.below(200));
                    self.put_file(place, &name);
                }
            }
        }
        self.list(place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answer_was_true_at_a_moment_of_its_call() {
    let from = |name: &str, default| std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"));
    let operations: u64 = from("RAPTORGATE_MODEL_OPERATIONS", 50_000);
    let seed = from("RAPTORGATE_MODEL_SEED", 1);
    let backend = super::backend();
    // A refresh lists one directory, when its state is whole.
    let settings = Settings { prefetch: false, ..Settings::default() };
    let vfs = vfs_with(&backend, &Arc::new(MemoryStore::default()), settings);
    let server = Server::start(vfs.clone(), super::config()).await.unwrap();
    let address = server.addresses()[0];
    let world = World { places: PLACES.iter().map(|_| Place::default()).collect(), ..World::default() };
    let shared =
        Arc::new(Shared { world: Mutex::new(world), left: AtomicU64::new(operations), done: Mutex::default() });
    let mut endpoint = Endpoint { backend, vfs, random: Random(seed), shared: shared.clone(), next: 0 };
    for place in 0..PLACES.len() {
        backend_directory(&endpoint.backend, place);
    }
    for place in 0..PLACES.len() {
        endpoint.fill(place);
    }
    for place in 0..PLACES.len() {
        endpoint.list(place).await;
    }
    let readers: Vec<thread::JoinHandle<()>> =
        (0..READERS).map(|number| spawn_reader(address, seed + 1 + number as u64, shared.clone())).collect();
    let mut changes = 0;
    while !readers.iter().all(thread::JoinHandle::is_finished) {
        endpoint.change().await;
        changes += 1;
        // Readers get to look at a state for a while.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for reader in readers {
        reader.join().expect("a reader");
    }
    let whole = shared.world().check_generations();
    let done = shared.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
    eprintln!("{operations} operations ({done:?}), {changes} refreshes, {whole} generations seen whole");
    assert!(done.len() == 4 && changes > 20 && whole > 20, "{done:?} {changes} {whole}");
}

fn backend_directory(backend: &FakeBackend, place: usize) {
    backend.add_directory("C.1", "auto", PLACES[place]);
}

fn spawn_reader(address: SocketAddr, seed: u64, shared: Arc<Shared>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut client = Client::connect(address);
        let directories = PLACES.iter().map(|path| client.mount(&format!("/C.1/auto/{}", path.join("/")))).collect();
        let cookies = vec![Vec::new(); PLACES.len()];
        Reader { client, random: Random(seed), shared, directories, cookies, files: Vec::new() }.run();
    })
}
