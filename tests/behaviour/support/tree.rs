//! A directory on disk with everything that file servers get wrong: names, sizes, links, special files, times, depth.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::process::is_root;

/// The folder whose files are too many to be collected one by one.
pub const MANY: &str = "many";
/// How many there are.
pub const HOW_MANY: usize = 2_000;

/// A tree; gone with the value.
pub struct Tree {
    folder: TempDir,
}

impl Tree {
    /// Everything.
    pub fn odd() -> Tree {
        let tree = Tree::empty();
        tree.names();
        tree.sizes();
        tree.links();
        tree.special();
        tree.depth();
        tree.crowd(HOW_MANY);
        fs::create_dir(tree.path().join("nothing in here")).unwrap();
        tree.times();
        tree
    }

    /// Nothing.
    pub fn empty() -> Tree {
        Tree { folder: tempfile::Builder::new().prefix("raptorgate-tree-").tempdir().unwrap() }
    }

    /// A few plain files and directories: enough where the oddities are not the point.
    pub fn small() -> Tree {
        let tree = Tree::empty();
        for folder in ["documents", "documents/letters", "pictures", "empty"] {
            fs::create_dir(tree.path().join(folder)).unwrap();
        }
        tree.write("readme.txt", b"read me\n");
        tree.write("documents/report.txt", &noise(20_000, 1));
        tree.write("documents/letters/one.txt", b"dear sir\n");
        tree.write("pictures/large.bin", &noise(3_000_000, 2));
        tree
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file below it.
    pub fn write(&self, path: impl AsRef<Path>, content: &[u8]) -> PathBuf {
        let path = self.path().join(path);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A directory `many` of this many small files.
    pub fn crowd(&self, count: usize) {
        fs::create_dir(self.path().join(MANY)).unwrap();
        for number in 0..count {
            self.write(format!("{MANY}/file-{number:06}"), b"");
        }
    }

    fn names(&self) {
        fs::create_dir(self.path().join("names")).unwrap();
        for (number, name) in odd_names().iter().enumerate() {
            self.write(Path::new("names").join(OsStr::from_bytes(name)), format!("name {number}\n").as_bytes());
        }
        let folder = self.path().join("names/a folder, ünd more: #1 100%");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("in it"), b"in it\n").unwrap();
    }

    fn sizes(&self) {
        fs::create_dir(self.path().join("sizes")).unwrap();
        for size in SIZES {
            self.write(format!("sizes/{size}"), &noise(size, size as u64));
        }
        self.write("sizes/zeros", &[0; 300_000]);
    }

    fn links(&self) {
        let links = self.path().join("links");
        fs::create_dir_all(links.join("inner")).unwrap();
        self.write("links/target", b"the target\n");
        for (name, target) in LINKS {
            symlink(target, links.join(name)).unwrap();
        }
    }

    fn special(&self) {
        let special = self.path().join("special");
        fs::create_dir(&special).unwrap();
        run("mkfifo", &[special.join("fifo").as_os_str()]);
        drop(UnixListener::bind(special.join("socket")).unwrap());
        for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("unreadable", 0o000), ("executable", 0o755)] {
            let path = self.write(Path::new("special").join(name), name.as_bytes());
            if name != "unreadable" || is_root() {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
        }
        fs::create_dir(special.join("sticky")).unwrap();
        fs::set_permissions(special.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
        if is_root() {
            for (name, kind, major, minor) in
                [("null", "c", "1", "3"), ("memory", "c", "1", "1"), ("loop", "b", "7", "0")]
            {
                // A container may forbid them: then the tree has none.
                let node = special.join(name);
                let _made = Command::new("mknod").arg(&node).args([kind, major, minor]).status();
            }
        }
    }

    fn depth(&self) {
        let mut path = self.path().join("deep");
        for level in 0..24 {
            path.push(format!("level {level}"));
        }
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("bottom"), b"the bottom\n").unwrap();
    }

    fn times(&self) {
        fs::create_dir(self.path().join("times")).unwrap();
        for (name, seconds, nanos) in TIMES {
            let path = self.write(Path::new("times").join(name), name.as_bytes());
            set_modified(&path, seconds, nanos);
        }
        set_modified(&self.path().join("links/inner"), 1_000_000_000, 123_456_700);
    }
}

/// Sizes around the limits of pages, reads and buffers.
pub const SIZES: [usize; 13] =
    [0, 1, 4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 131_072, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000];

/// Links, in a directory that has `target` and `inner`.
const LINKS: [(&str, &str); 10] = [
    ("relative", "target"),
    ("up and down", "../links/target"),
    ("to a directory", "inner"),
    ("dangling", "nowhere"),
    ("self", "self"),
    ("loop a", "loop b"),
    ("loop b", "loop a"),
    ("absolute", "/etc/passwd"),
    ("absolute to the root", "/"),
    ("climbing out", "../../../../etc/hostname"),
];

/// Times of files: name, seconds since 1970, nanoseconds.
pub const TIMES: [(&str, i64, u32); 5] = [
    ("nanoseconds", 1_700_000_000, 123_456_789),
    ("one nanosecond", 1_700_000_000, 1),
    ("the epoch", 0, 0),
    ("1960", -315_619_200, 0),
    ("2050", 2_524_608_000, 999_999_999),
];

/// Names that are legal on Linux and troublesome somewhere on the way. All are UTF-8.
pub fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "plain",
        "with space",
        "  around  ",
        "single'quote",
        "double\"quote",
        "back\\slash",
        "new\nline",
        "tab\tinside",
        "bell\u{7}",
        "delete\u{7f}",
        "caf\u{e9} composed",
        "cafe\u{301} decomposed",
        "日本語",
        "🦖",
        "right\u{202e}left",
        "zero\u{200b}width",
        "trailing dot.",
        "trailing space ",
        "two dots..",
        "%41",
        "%2F",
        "100%",
        "#fragment",
        "?query",
        "semi;colon",
        "a&b",
        "<less>",
        "pi|pe",
        "st*r",
        "co:lon",
        "C:",
        "-dash",
        "--option",
        "~tilde",
        "$HOME",
        "`tick`",
        "(paren)",
        "[bracket]",
        "{brace}",
        "...",
        "..hidden",
        ".hidden",
        "CON",
        "nul.txt",
        "Twin",
        "twin",
        "TWIN",
        "full-width：colon",
        "+plus",
        "=equals",
        ",comma",
        "!bang",
        "@at",
        "^caret",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.push(vec![b'x'; 255]);
    names.push("é".repeat(127).into_bytes());
    names.push([&b"begins the same "[..], &[b'y'; 239]].concat());
    names
}

/// Bytes that no compression and no pattern helps with; the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn set_modified(path: &Path, seconds: i64, nanos: u32) {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    let time = time + Duration::from_nanos(u64::from(nanos));
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn run(program: &str, arguments: &[&OsStr]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}
