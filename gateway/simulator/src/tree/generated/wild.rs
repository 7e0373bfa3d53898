//! Ordinary folders without a story: a plausible number of sub-folders and files, all from the path's hash.

use crate::seeded::{self, Random};
use crate::tree::generated::node::Node;

const NOUNS: [&str; 32] = [
    "archive",
    "backup",
    "assets",
    "build",
    "cache",
    "client",
    "config",
    "core",
    "data",
    "design",
    "docs",
    "export",
    "images",
    "invoices",
    "keys",
    "lib",
    "locale",
    "logs",
    "meetings",
    "minutes",
    "notes",
    "old",
    "photos",
    "plans",
    "private",
    "projects",
    "reports",
    "scans",
    "scripts",
    "src",
    "templates",
    "travel",
];
const EXTENSIONS: [&str; 16] =
    ["txt", "pdf", "docx", "xlsx", "jpg", "png", "log", "json", "xml", "zip", "dll", "ini", "md", "csv", "dat", "lnk"];

/// How rich a wild folder is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Richness {
    /// Levels below this folder that may hold folders.
    pub(super) depth: usize,
    /// At most so many sub-folders …
    pub(super) folders: u64,
    /// … and files in each folder.
    pub(super) files: u64,
}

impl Richness {
    pub(super) const DOCUMENTS: Self = Self { depth: 4, folders: 7, files: 24 };
    pub(super) const PROGRAM: Self = Self { depth: 3, folders: 9, files: 60 };
}

/// The children of a wild folder whose path has this hash, `level` levels below the root of the wilderness.
pub(super) fn children(path_hash: u64, level: usize, richness: Richness) -> Vec<Node> {
    let mut random = Random::new(seeded::mix(path_hash));
    let mut nodes = Vec::new();
    let folders = if level < richness.depth { random.below(richness.folders + 1) } else { 0 };
    let first = random.below(NOUNS.len() as u64);
    for number in 0..folders {
        let noun = pick(&NOUNS, first + number);
        let year = 2015 + random.below(11);
        let name = if random.chance(0.3) { format!("{noun}-{year}") } else { noun.to_string() };
        nodes.push(Node::directory(unique(&nodes, name)));
    }
    for _ in 0..random.below(richness.files + 1) {
        let noun = pick(&NOUNS, random.next());
        let extension = pick(&EXTENSIONS, random.next());
        let number = random.below(10_000);
        let name = unique(&nodes, format!("{noun}_{number:04}.{extension}"));
        // Most files are small, a few are megabytes.
        let scale = 8 + random.below(15);
        let size = random.below(1 << scale);
        let is_text = matches!(extension, "txt" | "log" | "json" | "xml" | "ini" | "md" | "csv");
        nodes.push(if is_text { Node::text(name, path_hash, size) } else { Node::noise(name, path_hash, size) });
    }
    nodes
}

/// `count` files named by pattern: `prefix`, a word made from a hash, `suffix`.
pub(super) fn named_files(
    seed: u64,
    count: u64,
    suffixes: &'static [&'static str],
) -> impl Iterator<Item = Node> + Send {
    (0..count).map(move |number| {
        let hash = seeded::mix(seed ^ number.wrapping_mul(0x51_7c_c1));
        let suffix = pick(suffixes, hash >> 40);
        let size = 2048 + hash % (1 << (12 + (hash >> 20) % 10));
        Node::noise(format!("{}{suffix}", word(hash, number)), seed, size)
    })
}

/// A pronounceable word that no other number makes.
pub(super) fn word(hash: u64, number: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "net", "win", "api", "ms", "dev", "ker", "dir", "xml", "wbem", "crypt", "ui", "srv", "com", "reg", "dx", "ole",
    ];
    let first = pick(&SYLLABLES, hash);
    let second = pick(&SYLLABLES, hash >> 8);
    format!("{first}{second}{number}")
}

pub(super) fn pick<'a>(list: &[&'a str], index: u64) -> &'a str {
    let place = usize::try_from(index % list.len().max(1) as u64).unwrap_or_default();
    list.get(place).copied().unwrap_or_default()
}

fn unique(nodes: &[Node], name: String) -> String {
    let taken = |name: &str| nodes.iter().any(|node| node.name.eq_ignore_ascii_case(name));
    if !taken(&name) {
        return name;
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) => (stem.to_string(), format!(".{extension}")),
        None => (name, String::new()),
    };
    (2u32..).map(|number| format!("{stem} ({number}){extension}")).find(|name| !taken(name)).unwrap_or_default()
}
