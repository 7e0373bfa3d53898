//! One node of a generated tree, before an accessor gives it its row.

use std::io;

use crate::clock::Clock;
use crate::seeded::{self, Random};
use crate::tree::content::Generated;
use crate::tree::mode::Kind;
use crate::tree::stamp::Stamp;
use crate::tree::{Content, Opened, Recipe, RecipeKind, Run};

/// A node: its name, what it is, and what of it departs from the ordinary.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) what: What,
    /// Unix permission bits, setuid and the like included; `None` is the ordinary.
    pub(super) permissions: Option<u32>,
    /// mtime, atime, ctime, btime; `None` follows from the path.
    pub(super) stamps: Option<[Stamp; 4]>,
    pub(super) guard: Guard,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum What {
    Directory,
    File(Source),
    Link(String),
    /// A device, FIFO or socket: its `st_mode` type.
    Special(u32),
    /// A reparse point that is neither link nor directory, such as a cloud file that is not on the disk.
    Irregular(u64),
}

/// Where a file's bytes come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Made(Recipe),
    Inline(Vec<u8>),
    /// The size that is told differs from the content: /proc tells 0, sysfs a page.
    Pseudo(u64, Vec<u8>),
    Sparse(Recipe, Vec<Run>),
    /// A log that grows by so many bytes a second from that size on.
    Growing {
        seed: u64,
        start: u64,
        rate: u64,
    },
}

/// Who keeps the agent from reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    Open,
    Denied,
    /// Held by another process: the OS API cannot open it, raw access can.
    Locked,
}

pub(super) const CHARACTER: u32 = 0o020_000;
pub(super) const BLOCK: u32 = 0o060_000;
pub(super) const FIFO: u32 = 0o010_000;
pub(super) const SOCKET: u32 = 0o140_000;

impl Node {
    fn new(name: impl Into<String>, what: What) -> Self {
        Self { name: name.into(), what, permissions: None, stamps: None, guard: Guard::Open }
    }

    pub(super) fn directory(name: impl Into<String>) -> Self {
        Self::new(name, What::Directory)
    }

    /// A file of bytes that do not compress.
    pub(super) fn noise(name: impl Into<String>, seed: u64, length: u64) -> Self {
        let name = name.into();
        let seed = seeded::hash(seed, name.as_bytes());
        Self::new(name, What::File(Source::Made(Recipe { kind: RecipeKind::Noise, seed, length })))
    }

    /// A file of log lines.
    pub(super) fn text(name: impl Into<String>, seed: u64, length: u64) -> Self {
        let name = name.into();
        let seed = seeded::hash(seed, name.as_bytes());
        Self::new(name, What::File(Source::Made(Recipe { kind: RecipeKind::Text, seed, length })))
    }

    pub(super) fn inline(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self::new(name, What::File(Source::Inline(content.into())))
    }

    pub(super) fn pseudo(name: impl Into<String>, told: u64, content: impl Into<Vec<u8>>) -> Self {
        Self::new(name, What::File(Source::Pseudo(told, content.into())))
    }

    pub(super) fn growing(name: impl Into<String>, seed: u64, start: u64, rate: u64) -> Self {
        Self::new(name, What::File(Source::Growing { seed, start, rate }))
    }

    pub(super) fn sparse(name: impl Into<String>, seed: u64, runs: Vec<Run>) -> Self {
        let length = runs.last().map_or(0, |run| run.offset + run.length);
        Self::new(name, What::File(Source::Sparse(Recipe { kind: RecipeKind::Noise, seed, length }, runs)))
    }

    pub(super) fn link(name: impl Into<String>, target: impl Into<String>) -> Self {
        Self::new(name, What::Link(target.into()))
    }

    pub(super) fn special(name: impl Into<String>, kind: u32, permissions: u32) -> Self {
        Self { permissions: Some(permissions), ..Self::new(name, What::Special(kind)) }
    }

    pub(super) fn irregular(name: impl Into<String>, size: u64) -> Self {
        Self::new(name, What::Irregular(size))
    }

    pub(super) fn mode(mut self, permissions: u32) -> Self {
        self.permissions = Some(permissions);
        self
    }

    pub(super) fn at(mut self, stamp: Stamp) -> Self {
        self.stamps = Some([stamp; 4]);
        self
    }

    pub(super) fn guarded(mut self, guard: Guard) -> Self {
        self.guard = guard;
        self
    }

    pub(super) fn kind(&self) -> Kind {
        match self.what {
            What::Directory => Kind::Directory,
            What::File(_) => Kind::File,
            What::Link(_) => Kind::Link,
            What::Special(_) | What::Irregular(_) => Kind::Special,
        }
    }

    /// The size that a listing tells.
    pub(super) fn size(&self, clock: &Clock) -> u64 {
        match &self.what {
            What::Directory => 4096,
            What::Link(target) => target.len() as u64,
            What::Special(_) => 0,
            What::Irregular(size) => *size,
            What::File(source) => source.told_size(clock),
        }
    }

    /// mtime, atime, ctime, btime. `grain` is the finest step in nanoseconds that the file system keeps.
    pub(super) fn times(&self, path_hash: u64, grain: u32) -> [Stamp; 4] {
        if let Some(stamps) = self.stamps {
            return stamps;
        }
        let mut random = Random::new(seeded::hash(path_hash, self.name.as_bytes()));
        let mut stamp = |after: i64, span: u64| {
            let seconds = after + i64::try_from(random.below(span)).unwrap_or_default();
            let nanoseconds = u32::try_from(random.below(1_000_000_000)).unwrap_or_default();
            Stamp::new(seconds, nanoseconds / grain * grain)
        };
        // Born between 2019 and 2024, changed within two years, read within one more.
        let born = stamp(1_546_300_800, 5 * 31_536_000);
        let modified = stamp(born.seconds + 1, 2 * 31_536_000);
        let read = stamp(modified.seconds + 1, 31_536_000);
        let changed = Stamp::new(modified.seconds, modified.nanoseconds);
        [modified, read, changed, born]
    }
}

impl Source {
    fn told_size(&self, clock: &Clock) -> u64 {
        match self {
            Self::Made(recipe) | Self::Sparse(recipe, _) => recipe.length,
            Self::Inline(content) => content.len() as u64,
            Self::Pseudo(told, _) => *told,
            Self::Growing { start, rate, .. } => grown(*start, *rate, clock),
        }
    }

    /// Opens the bytes.
    pub(super) fn open(&self, clock: Clock) -> Opened {
        let size = self.told_size(&clock);
        let (content, runs): (Box<dyn Content>, _) = match self.clone() {
            Self::Made(recipe) => (Box::new(Generated::new(recipe)), None),
            Self::Sparse(recipe, runs) => (Box::new(Generated::new(recipe)), Some(runs)),
            Self::Inline(content) | Self::Pseudo(_, content) => (Box::new(InMemory(content)), None),
            Self::Growing { seed, start, rate } => (Box::new(Growing { seed, start, rate, clock }), None),
        };
        Opened { content, size, runs }
    }
}

/// The length of a growing log now.
fn grown(start: u64, rate: u64, clock: &Clock) -> u64 {
    let millis = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
    start.saturating_add(millis.saturating_mul(rate) / 1000)
}

struct InMemory(Vec<u8>);

impl Content for InMemory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(rest.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Reads see what has been written by the time of the read.
struct Growing {
    seed: u64,
    start: u64,
    rate: u64,
    clock: Clock,
}

impl Content for Growing {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let length = grown(self.start, self.rate, &self.clock);
        Generated::new(Recipe { kind: RecipeKind::Text, seed: self.seed, length }).read(offset, buffer)
    }
}
