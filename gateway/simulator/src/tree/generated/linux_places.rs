//! What lies where on the Linux-like endpoint.

use crate::clock::Clock;
use crate::seeded;
use crate::tree::generated::linux::Children;
use crate::tree::generated::node::{BLOCK, CHARACTER, FIFO, Guard, Node, SOCKET};
use crate::tree::generated::wild::{self, Richness};
use crate::tree::stamp::Stamp;

/// The file system that holds a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) kind: &'static str,
}

/// The device of a path: pseudo file systems and one foreign disk are mounted on the root.
pub(super) fn device(path: &[String]) -> Device {
    let (major, minor, kind) = match path.first().map(String::as_str) {
        Some("proc") => (0, 22, "proc"),
        Some("sys") => (0, 21, "sysfs"),
        Some("dev") => (0, 5, "devtmpfs"),
        Some("run") => (0, 24, "tmpfs"),
        Some("mnt") => (8, 17, "vfat"),
        _ => (254, 0, "ext2"),
    };
    Device { major, minor, kind }
}

/// The children of a directory; `None` if there is no such directory.
pub(super) fn children(seed: u64, clock: &Clock, path: &[String]) -> Option<Children> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let hash = seeded::hash_path(seed, path);
    if let ["srv", "huge"] = parts.as_slice() {
        let files = (0..100_000u64).map(move |number| Node::text(format!("file-{number:06}.dat"), hash, number % 5000));
        return Some(Box::new(files));
    }
    if let ["usr", "bin"] = parts.as_slice() {
        let own = vec![
            Node::noise("sudo", hash, 277_936).mode(0o4755),
            Node::noise("passwd", hash, 68_248).mode(0o4755),
            Node::noise("wall", hash, 35_664).mode(0o2755),
            Node::link("awk", "/etc/alternatives/awk"),
        ];
        let programs = wild::named_files(hash, 400, &[""]).map(|node| node.mode(0o755));
        return Some(Box::new(own.into_iter().chain(programs)));
    }
    list(seed, clock, hash, &parts).map(|nodes| Box::new(nodes.into_iter()) as Children)
}

fn list(seed: u64, clock: &Clock, hash: u64, parts: &[&str]) -> Option<Vec<Node>> {
    let directories = |names: &[&str]| names.iter().map(|name| Node::directory(*name)).collect::<Vec<_>>();
    Some(match parts {
        [] => {
            let mut nodes = directories(&["boot", "dev", "etc", "home", "media", "mnt", "opt", "proc", "run", "srv"]);
            nodes.extend(directories(&["sys", "usr", "var"]));
            nodes.push(Node::directory("root").mode(0o700));
            nodes.push(Node::directory("tmp").mode(0o1777));
            nodes.push(Node::directory("lost+found").mode(0o700).guarded(Guard::Denied));
            for name in ["bin", "lib", "sbin"] {
                nodes.push(Node::link(name, format!("usr/{name}")));
            }
            nodes
        }
        ["boot"] => vec![
            Node::noise("vmlinuz-6.1.0-25-amd64", hash, 8_193_920),
            Node::noise("initrd.img-6.1.0-25-amd64", hash, 41_234_567),
            Node::inline("config-6.1.0-25-amd64", "CONFIG_X86_64=y\n"),
            Node::directory("grub"),
        ],
        ["etc", rest @ ..] => return etc(hash, rest),
        ["home"] => directories(&["alice", "bob", "carol", "deploy"]),
        ["home", user] if ["alice", "bob", "carol", "deploy"].contains(user) => home(hash),
        ["home", _, ".ssh"] => vec![
            Node::text("authorized_keys", hash, 1132).mode(0o600),
            Node::text("known_hosts", hash, 5044),
            Node::text("id_ed25519", hash, 411).mode(0o600),
        ],
        ["home", _, top @ ("Documents" | "Downloads" | "projects" | ".cache"), rest @ ..] => {
            return wilderness(seed, &["home", parts.get(1)?, top], rest, Richness::DOCUMENTS);
        }
        ["root"] => vec![
            Node::text(".bash_history", hash, 18_432).mode(0o600),
            Node::inline(".profile", "# ~/.profile\n"),
            Node::directory(".ssh").mode(0o700),
        ],
        ["root", ".ssh"] => vec![Node::text("authorized_keys", hash, 566).mode(0o600)],
        ["proc", rest @ ..] => return proc(hash, rest),
        ["sys"] => directories(&["class", "kernel"]),
        ["sys", "kernel"] => vec![
            Node::pseudo("uevent_seqnum", 4096, "4711\n"),
            Node::pseudo("vmcoreinfo", 4096, "0x0000000100000000 1024\n"),
        ],
        ["sys", "class"] => directories(&["net"]),
        ["sys", "class", "net"] => vec![
            Node::link("eth0", "../../devices/pci0000:00/0000:00:03.0/net/eth0"),
            Node::link("lo", "../../devices/virtual/net/lo"),
        ],
        ["dev"] => devices(),
        ["dev", "disk"] => directories(&["by-id"]),
        ["dev", "disk", "by-id"] => vec![Node::link("ata-disk0", "../../sda")],
        ["dev", "shm"] => Vec::new(),
        ["usr"] => directories(&["bin", "include", "lib", "local", "sbin", "share"]),
        ["usr", "sbin"] => wild::named_files(hash, 120, &["", "d", "ctl"]).map(|node| node.mode(0o755)).collect(),
        ["usr", "share"] => directories(&["doc", "man", "zoneinfo"]),
        ["usr", "share", "zoneinfo"] => {
            vec![Node::noise("UTC", hash, 114), Node::directory("Europe"), Node::directory("America")]
        }
        ["usr", "share", "doc"] => {
            (0..400).map(|number| Node::directory(wild::word(seeded::mix(hash ^ number), number))).collect()
        }
        ["usr", "share", "doc", _] => vec![
            Node::text("changelog.Debian.gz", hash, 1800 + hash % 4000),
            Node::text("copyright", hash, 900 + hash % 9000),
        ],
        ["usr", top @ ("lib" | "include" | "local"), rest @ ..] => {
            return wilderness(seed, &["usr", top], rest, Richness::PROGRAM);
        }
        ["usr", "share", top, rest @ ..] => {
            return wilderness(seed, &["usr", "share", top], rest, Richness { depth: 1, folders: 3, files: 40 });
        }
        ["opt" | "media", rest @ ..] => {
            return wilderness(seed, parts.get(..1)?, rest, Richness { depth: 2, folders: 4, files: 12 });
        }
        ["boot", "grub"] => vec![Node::text("grub.cfg", hash, 9_876)],
        ["mnt"] => directories(&["usb"]),
        ["mnt", "usb"] => vec![Node::noise("PHOTO.JPG", hash, 2_345_678), Node::directory("DCIM")],
        ["mnt", "usb", "DCIM"] => {
            (0..60).map(|n| Node::noise(format!("IMG_{n:04}.JPG"), hash, 3_000_000 + n)).collect()
        }
        ["run"] => vec![
            Node::inline("sshd.pid", "612\n"),
            Node::special("initctl", FIFO, 0o600),
            Node::special("docker.sock", SOCKET, 0o660),
        ],
        ["tmp"] => temporary(clock, hash),
        ["var"] => {
            let mut nodes = directories(&["cache", "lib", "log", "spool", "www"]);
            nodes.push(Node::link("run", "/run"));
            nodes.push(Node::directory("tmp").mode(0o1777));
            nodes
        }
        ["var", "tmp"] => Vec::new(),
        ["var", "log"] => vec![
            Node::growing("syslog", hash, 6_821_744, 8192),
            Node::growing("auth.log", hash ^ 1, 812_345, 256).mode(0o640),
            Node::text("syslog.1", hash, 48_000_000),
            Node::noise("wtmp", hash, 384 * 211).mode(0o664),
            Node::noise("lastlog", hash, 292_292),
            Node::directory("nginx"),
            Node::directory("journal").mode(0o2755),
        ],
        ["var", "log", "nginx"] => vec![
            Node::growing("access.log", hash, 201_000_000, 4096),
            Node::text("error.log", hash, 93_000),
            Node::text("access.log.1", hash, 209_990_000),
        ],
        ["var", "log", "journal"] => directories(&["0f3c5d7e9b1a4c6d8e0f1a2b3c4d5e6f"]),
        ["var", "log", "journal", _] => vec![Node::noise("system.journal", hash, 50_331_648).mode(0o640)],
        ["var", top @ ("cache" | "lib" | "spool" | "www"), rest @ ..] => {
            return wilderness(seed, &["var", top], rest, Richness::PROGRAM);
        }
        ["srv", rest @ ..] => return srv(seed, hash, rest),
        ["lost+found"] => Vec::new(),
        _ => return None,
    })
}

/// An ordinary folder below `base`, if the walk down from there leads to it.
pub(super) fn wilderness(seed: u64, base: &[&str], rest: &[&str], richness: Richness) -> Option<Vec<Node>> {
    let mut path: Vec<String> = base.iter().map(ToString::to_string).collect();
    let mut nodes = wild::children(seeded::hash_path(seed, &path), 0, richness);
    for (level, part) in rest.iter().enumerate() {
        let found =
            nodes.iter().any(|node| node.name == *part && matches!(node.kind(), crate::tree::mode::Kind::Directory));
        if !found {
            return None;
        }
        path.push((*part).to_string());
        nodes = wild::children(seeded::hash_path(seed, &path), level + 1, richness);
    }
    Some(nodes)
}

fn etc(hash: u64, rest: &[&str]) -> Option<Vec<Node>> {
    let directories = |names: &[&str]| names.iter().map(|name| Node::directory(*name)).collect::<Vec<_>>();
    Some(match rest {
        [] => {
            let mut nodes = directories(&["alternatives", "cron.d", "ssh", "systemd", "nginx", "apt"]);
            nodes.extend([
                Node::inline("passwd", PASSWD),
                Node::inline("group", "root:x:0:\nadm:x:4:alice\n"),
                Node::text("shadow", hash, 1205).mode(0o640),
                Node::inline("hostname", "web-01\n"),
                Node::inline("hosts", "127.0.0.1 localhost\n"),
                Node::inline("os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"),
                Node::inline("fstab", "/dev/sda1 / ext4 defaults 0 1\n"),
                Node::link("localtime", "/usr/share/zoneinfo/UTC"),
                Node::link("mtab", "../proc/self/mounts"),
                Node::inline("sudoers", "%sudo ALL=(ALL:ALL) ALL\n").mode(0o440),
            ]);
            nodes.extend(
                (0..120)
                    .map(|n| Node::text(format!("{}.conf", wild::word(seeded::mix(hash ^ n), n)), hash, 200 + n * 31)),
            );
            nodes
        }
        ["alternatives"] => vec![Node::link("awk", "/usr/bin/mawk"), Node::link("editor", "/usr/bin/netnet0")],
        ["ssh"] => vec![
            Node::text("sshd_config", hash, 3_223),
            Node::text("ssh_host_ed25519_key", hash, 411).mode(0o600),
            Node::text("ssh_host_ed25519_key.pub", hash, 97),
        ],
        ["cron.d"] => vec![Node::inline("backup", "17 3 * * * root /usr/local/bin/backup\n")],
        ["systemd"] => directories(&["system", "network"]),
        ["systemd", "system"] => {
            let mut nodes = directories(&["multi-user.target.wants"]);
            nodes.push(Node::inline("updater.service", "[Service]\nExecStart=/opt/updater\n"));
            nodes
        }
        ["systemd", "system", "multi-user.target.wants"] => {
            vec![Node::link("updater.service", "/etc/systemd/system/updater.service")]
        }
        ["systemd", "network"] => vec![Node::inline("eth0.network", "[Match]\nName=eth0\n")],
        ["nginx"] => vec![Node::text("nginx.conf", hash, 1_447), Node::directory("sites-enabled")],
        ["nginx", "sites-enabled"] => vec![Node::link("default", "../sites-available/default")],
        ["apt"] => vec![Node::inline("sources.list", "deb http://deb.debian.org/debian bookworm main\n")],
        _ => return None,
    })
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n\
                      bob:x:1001:1001::/home/bob:/bin/bash\ndeploy:x:1002:1002::/home/deploy:/bin/sh\n";

fn home(hash: u64) -> Vec<Node> {
    let mut nodes: Vec<Node> = ["Documents", "Downloads", "projects", ".cache"].map(Node::directory).to_vec();
    nodes.extend([
        Node::directory(".ssh").mode(0o700),
        Node::text(".bash_history", hash, 4_096 + hash % 9_000).mode(0o600),
        Node::inline(".bashrc", "alias ll='ls -l'\n"),
        Node::link("latest", "Documents"),
        Node::link("shared", "/srv/share"),
    ]);
    nodes
}

/// Files that come and go: each exists for a minute of the server's clock.
fn temporary(clock: &Clock, hash: u64) -> Vec<Node> {
    let minute = clock.seconds() / 60;
    vec![
        Node::text(format!("session-{minute}.tmp"), hash, 700 + minute % 1000),
        Node::special("ssh-agent.sock", SOCKET, 0o600),
        Node::directory(".X11-unix").mode(0o1777),
    ]
}

fn devices() -> Vec<Node> {
    let mut nodes = vec![Node::directory("disk"), Node::directory("shm").mode(0o1777)];
    for (name, mode) in [("null", 0o666), ("zero", 0o666), ("random", 0o666), ("tty", 0o666), ("kmsg", 0o644)] {
        nodes.push(Node::special(name, CHARACTER, mode));
    }
    for name in ["sda", "sda1", "sdb"] {
        nodes.push(Node::special(name, BLOCK, 0o660));
    }
    nodes.extend([
        Node::special("log", SOCKET, 0o666),
        Node::special("initctl", FIFO, 0o600),
        Node::link("stdin", "/proc/self/fd/0"),
        Node::link("core", "/proc/kcore"),
    ]);
    nodes
}

fn proc(hash: u64, rest: &[&str]) -> Option<Vec<Node>> {
    let cpuinfo: String = (0..4)
        .map(|number| format!("processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: Simulated CPU\n\n"))
        .collect();
    Some(match rest {
        [] => {
            let mut nodes = vec![
                Node::pseudo("cpuinfo", 0, cpuinfo).mode(0o444),
                Node::pseudo("meminfo", 0, "MemTotal:       16384256 kB\nMemFree:         1024256 kB\n").mode(0o444),
                Node::pseudo("version", 0, "Linux version 6.1.0-25-amd64\n").mode(0o444),
                Node::noise("kcore", hash, 140_737_471_590_400).mode(0o400).guarded(Guard::Denied),
                Node::link("self", "612"),
                Node::link("mounts", "self/mounts"),
                Node::directory("sys"),
            ];
            nodes.extend((1..=150u32).map(|number| Node::directory((number * 17).to_string())));
            nodes
        }
        ["sys"] => vec![Node::directory("kernel")],
        ["sys", "kernel"] => vec![Node::pseudo("hostname", 0, "web-01\n")],
        [pid] if pid.parse::<u32>().is_ok_and(|pid| pid % 17 == 0 && pid <= 2550 && pid > 0) => vec![
            Node::pseudo("cmdline", 0, format!("/usr/bin/program\0--number\0{pid}\0")).mode(0o444),
            Node::pseudo("status", 0, format!("Name:\tprogram\nPid:\t{pid}\n")).mode(0o444),
            Node::pseudo("mounts", 0, "/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n").mode(0o444),
            Node::pseudo("environ", 0, "").mode(0o400).guarded(Guard::Denied),
            Node::link("exe", "/usr/bin/sudo"),
            Node::link("cwd", "/"),
            Node::link("root", "/"),
            Node::directory("fd").mode(0o500),
        ],
        [pid, "fd"] if pid.parse::<u32>().is_ok() => {
            vec![Node::link("0", "/dev/null"), Node::link("1", "socket:[17432]"), Node::link("2", "pipe:[20011]")]
        }
        _ => return None,
    })
}

fn srv(seed: u64, hash: u64, rest: &[&str]) -> Option<Vec<Node>> {
    Some(match rest {
        [] => {
            let mut nodes: Vec<Node> =
                ["huge", "images", "odd", "loops", "forty", "tree", "times", "share", "evidence"]
                    .map(Node::directory)
                    .to_vec();
            nodes.push(Node::directory("restricted").mode(0o700).guarded(Guard::Denied));
            nodes.push(Node::directory("empty"));
            nodes
        }
        ["empty"] => Vec::new(),
        ["images"] => vec![
            Node::noise("disk-10g.img", hash, 10 << 30),
            Node::noise("archive-10t.raw", hash, 10 << 40),
            Node::noise("m200.bin", hash, 200 << 20),
            Node::text("m200.log", hash, 200 << 20),
            Node::noise("m10.bin", hash, 10 << 20),
        ],
        ["evidence"] => vec![
            Node::noise("k1.bin", hash, 1024),
            Node::inline("empty.bin", ""),
            Node::special("fifo", FIFO, 0o644),
            Node::directory("adir"),
            Node::growing("growing.log", hash, 6_000, 65_536),
            Node::noise("denied.bin", hash, 4096).mode(0o600).guarded(Guard::Denied),
            Node::noise("locked.db", hash, 65_536).guarded(Guard::Locked),
        ],
        ["evidence", "adir"] => Vec::new(),
        ["loops"] => vec![
            Node::link("a", "b"),
            Node::link("b", "a"),
            Node::link("self", "."),
            Node::link("up", ".."),
            Node::link("dangling", "/nonexistent/x"),
            Node::link("to-directory", "/srv/forty"),
            Node::link("to-file", "../evidence/k1.bin"),
            Node::link("outside", "../../../../../etc/passwd"),
        ],
        ["times"] => vec![
            Node::inline("epoch", "x").at(Stamp::new(0, 0)),
            Node::inline("before-1970", "x").at(Stamp::new(-144_633_600, 123_456_789)),
            Node::inline("far", "x").at(Stamp::new(9_223_372_800, 0)),
            Node::inline("unknown", "x").at(Stamp::UNKNOWN),
            Node::inline("year-9999", "x").at(Stamp::YEAR_9999),
        ],
        ["odd"] => odd_names(hash),
        ["odd", name] if odd_names(hash).iter().any(|node| node.name == *name && node.name.ends_with("dir")) => {
            vec![Node::inline("inside", *name)]
        }
        // 40 directories of 11 files: one listing each, or one of depth 1 for all.
        ["forty"] => (0..40).map(|number| Node::directory(format!("d{number:02}"))).collect(),
        ["forty", _] => (0..11).map(|number| Node::text(format!("f{number:02}.txt"), hash, number * 100)).collect(),
        // 2,041 directories and about 102,000 entries.
        ["tree"] => (0..40).map(|number| Node::directory(format!("t{number:02}"))).collect(),
        ["tree", _] => {
            let mut nodes: Vec<Node> = (0..50).map(|number| Node::directory(format!("s{number:02}"))).collect();
            nodes.push(Node::text("index.txt", hash, 300));
            nodes
        }
        ["tree", _, _] => (0..49).map(|number| Node::text(format!("f{number:02}.txt"), hash, number * 10)).collect(),
        ["share", rest @ ..] => return wilderness(seed, &["srv", "share"], rest, Richness::DOCUMENTS),
        _ => return None,
    })
}

/// Names that need care (§4.2, §15.13). Two of them read the same: their bad bytes both became U+FFFD.
fn odd_names(hash: u64) -> Vec<Node> {
    let long = "a".repeat(255);
    let names = [
        "\u{1}ctl",
        " leading",
        "...",
        ".hidden",
        "123",
        "<amp&>.txt",
        "C:",
        "Case",
        "case",
        "back\\slash.txt",
        "a\"b",
        "base64:abc",
        "emoji-😀.txt",
        "fffd-\u{fffd}.txt",
        "fffd-\u{fffd}.txt",
        "new\nline.txt",
        "tab\there",
        "nfc-caf\u{e9}.txt",
        "nfd-cafe\u{301}.txt",
        "pct%41.txt",
        "semi;colon",
        "star*?.txt",
        "trailing ",
        "trailingdot.",
        "true",
        "u2028-\u{2028}.txt",
        "x.chunk",
        "x.idx",
        "{json}",
        "con",
        "aux.txt",
    ];
    let mut nodes: Vec<Node> = names.iter().map(|name| Node::inline(*name, format!("content of {name}"))).collect();
    nodes.push(Node::noise(long, hash, 255));
    nodes.extend([" sp dir", "q\"dir", "n\ndir", "b\\dir"].map(Node::directory));
    nodes
}
