//! What lies where on the volumes of the Windows-like endpoint.

use crate::clock::Clock;
use crate::seeded;
use crate::tree::Run;
use crate::tree::generated::linux_places::wilderness;
use crate::tree::generated::node::{Guard, Node};
use crate::tree::generated::volume::Volume;
use crate::tree::generated::wild::{self, Richness, named_files};
use crate::tree::stamp::Stamp;

/// The children of a directory.
pub(super) type Children = Box<dyn Iterator<Item = Node> + Send>;

/// The children of a directory; `None` if there is none. `seed` is the volume's.
pub(super) fn children(seed: u64, volume: Volume, clock: &Clock, path: &[String]) -> Option<Children> {
    let hash = seeded::hash_path(seed, path);
    let lower: Vec<String> = path.iter().map(|part| part.to_lowercase()).collect();
    let parts: Vec<&str> = lower.iter().map(String::as_str).collect();
    let original: Vec<&str> = path.iter().map(String::as_str).collect();
    if volume.letter != 'C' {
        return data_volume(seed, hash, volume, &original).map(boxed);
    }
    match parts.as_slice() {
        ["windows", "system32"] => {
            let own = folders(&["config", "drivers", "winevt", "Tasks", "sru", "LogFiles", "spool", "wbem", "en-US"]);
            let files = named_files(hash, 4_400, &[".dll", ".dll", ".dll", ".exe", ".nls", ".cpl"]);
            Some(Box::new(own.into_iter().chain(files)))
        }
        ["windows", "syswow64"] => Some(Box::new(named_files(hash, 3_000, &[".dll", ".dll", ".exe"]))),
        ["windows", "winsxs"] => Some(Box::new((0..15_000u64).map(move |number| {
            let value = seeded::mix(hash ^ number);
            Node::directory(format!(
                "amd64_microsoft-windows-{}_31bf3856ad364e35_10.0.22621.{number}_none_{value:016x}",
                wild::word(value, number % 997)
            ))
        }))),
        ["users", user, "appdata", "local", "google", "chrome", "user data", "default", "cache", "cache_data"]
            if USERS.iter().any(|known| known.eq_ignore_ascii_case(user)) =>
        {
            Some(Box::new(
                (0..2_000).map(move |number| Node::noise(format!("f_{number:06x}"), hash, 4096 + number * 37)),
            ))
        }
        _ => system_volume(seed, hash, volume, clock, &parts, &original).map(boxed),
    }
}

fn boxed(nodes: Vec<Node>) -> Children {
    Box::new(nodes.into_iter())
}

const USERS: [&str; 5] = ["Administrator", "alice", "bob", "Default", "Public"];

fn folders(names: &[&str]) -> Vec<Node> {
    names.iter().map(|name| Node::directory(*name)).collect()
}

fn system_volume(
    seed: u64,
    hash: u64,
    volume: Volume,
    clock: &Clock,
    parts: &[&str],
    original: &[&str],
) -> Option<Vec<Node>> {
    Some(match parts {
        [] => root(hash),
        ["$extend"] => vec![
            Node::noise("$ObjId", hash, 0),
            Node::noise("$Quota", hash, 0),
            Node::inline("$UsnJrnl", ""),
            // 8 GiB of which only the end is there.
            Node::sparse("$UsnJrnl:$J", hash, tail_of(8 << 30, 32 << 20)),
            Node::noise("$UsnJrnl:$Max", hash, 32),
        ],
        ["$recycle.bin"] => folders(&["S-1-5-18", "S-1-5-21-1004336348-1177238915-682003330-1001"]),
        ["$recycle.bin", _] => vec![
            Node::inline("desktop.ini", "[.ShellClassInfo]\r\n"),
            Node::noise("$IA1B2C3.docx", hash, 544),
            Node::noise("$RA1B2C3.docx", hash, 48_213),
        ],
        ["perflogs"] => Vec::new(),
        ["recovery"] => vec![Node::noise("ReAgentOld.xml", hash, 1_045).guarded(Guard::Denied)],
        ["system volume information"] => vec![
            Node::noise("tracking.log", hash, 20_480),
            Node::noise("{3808876b-c176-4e48-b7ae-04046e6cc752}", hash, 65_536),
            Node::directory("SPP"),
        ],
        ["system volume information", "spp"] => vec![Node::noise("metadata", hash, 24_576)],
        ["users"] => users(),
        ["users", user, rest @ ..] if USERS.iter().any(|known| known.eq_ignore_ascii_case(user)) => {
            return profile(seed, hash, volume, rest, original);
        }
        ["windows", rest @ ..] => return windows(seed, hash, clock, rest, original),
        ["program files" | "program files (x86)"] => [
            "Common Files",
            "Google",
            "Internet Explorer",
            "Microsoft Office",
            "Windows Defender",
            "7-Zip",
            "Mozilla Firefox",
            "Notepad++",
            "VideoLAN",
            "Wireshark",
            "Adobe",
            "Java",
            "Git",
            "PuTTY",
            "Zoom",
        ]
        .map(Node::directory)
        .to_vec(),
        ["program files" | "program files (x86)" | "programdata", _, ..] => {
            return wilderness(seed, original.get(..2)?, original.get(2..)?, Richness::PROGRAM);
        }
        ["programdata"] => {
            let mut nodes =
                folders(&["Microsoft", "Package Cache", "USOShared", "Adobe", "regid.1991-06.com.microsoft"]);
            nodes.push(Node::link("Application Data", "C:\\ProgramData"));
            nodes
        }
        _ => return None,
    })
}

fn root(hash: u64) -> Vec<Node> {
    let mut nodes = folders(&["$Extend", "$Recycle.Bin", "PerfLogs", "Program Files", "Program Files (x86)"]);
    nodes.extend(folders(&["ProgramData", "Recovery", "Users", "Windows"]));
    nodes.push(Node::directory("System Volume Information").guarded(Guard::Denied));
    nodes.push(Node::link("Documents and Settings", "C:\\Users"));
    for (name, size) in [
        ("$MFT", 1_610_612_736),
        ("$MFTMirr", 4096),
        ("$LogFile", 67_108_864),
        ("$Bitmap", 15_597_568),
        ("$Boot", 8192),
        ("$Secure:$SDS", 2_621_440),
        ("$UpCase", 131_072),
        ("$AttrDef", 2560),
        ("$Volume", 0),
    ] {
        nodes.push(Node::noise(name, hash, size));
    }
    for (name, size) in
        [("pagefile.sys", 17_179_869_184), ("hiberfil.sys", 6_871_947_673), ("swapfile.sys", 268_435_456)]
    {
        nodes.push(Node::noise(name, hash, size).guarded(Guard::Locked));
    }
    nodes.push(Node::noise("DumpStack.log.tmp", hash, 12_288).guarded(Guard::Locked));
    nodes
}

fn users() -> Vec<Node> {
    let mut nodes = folders(&USERS);
    nodes.push(Node::link("All Users", "C:\\ProgramData"));
    nodes.push(Node::link("Default User", "C:\\Users\\Default"));
    nodes.push(Node::inline("desktop.ini", "[.ShellClassInfo]\r\n"));
    nodes
}

fn profile(seed: u64, hash: u64, volume: Volume, rest: &[&str], original: &[&str]) -> Option<Vec<Node>> {
    Some(match rest {
        [] => {
            let mut nodes =
                folders(&["AppData", "Contacts", "Desktop", "Documents", "Downloads", "Favorites", "Links"]);
            nodes.extend(folders(&["Music", "OneDrive", "Pictures", "Saved Games", "Searches", "Videos"]));
            nodes.push(Node::link("Application Data", format!("C:\\Users\\{}\\AppData\\Roaming", original.get(1)?)));
            nodes.extend(hive("NTUSER.DAT", hash, 3_407_872));
            nodes.push(Node::inline("ntuser.ini", "[Software]\r\n"));
            nodes
        }
        ["appdata"] => folders(&["Local", "LocalLow", "Roaming"]),
        ["appdata", "local"] => folders(&["Google", "Microsoft", "Packages", "Programs", "Temp", "VirtualStore"]),
        ["appdata", "local", "google"] => folders(&["Chrome"]),
        ["appdata", "local", "google", "chrome"] => folders(&["User Data"]),
        ["appdata", "local", "google", "chrome", "user data"] => {
            let mut nodes = folders(&["Default", "Crashpad"]);
            nodes.push(Node::text("Local State", hash, 48_000));
            nodes
        }
        ["appdata", "local", "google", "chrome", "user data", "crashpad"] => Vec::new(),
        ["appdata", "local", "google", "chrome", "user data", "default"] => {
            let mut nodes = folders(&["Cache", "Extensions", "Network"]);
            for (name, size) in
                [("History", 5_242_880), ("Web Data", 262_144), ("Login Data", 57_344), ("Favicons", 1_048_576)]
            {
                nodes.push(Node::noise(name, hash, size));
                nodes.push(Node::noise(format!("{name}-journal"), hash, 0));
            }
            nodes.push(Node::text("Preferences", hash, 312_000));
            nodes
        }
        ["appdata", "local", "google", "chrome", "user data", "default", "cache"] => folders(&["Cache_Data"]),
        ["appdata", "local", "google", "chrome", "user data", "default", "network"] => {
            vec![Node::noise("Cookies", hash, 524_288), Node::noise("Cookies-journal", hash, 0)]
        }
        ["appdata", "local", "microsoft"] => {
            let mut nodes = folders(&["Windows", "Edge", "Outlook"]);
            nodes.push(Node::noise("Credentials.dat", hash, 11_000));
            nodes
        }
        ["appdata", "local", "microsoft", "windows"] => {
            let mut nodes = folders(&["Explorer", "INetCache", "WebCache"]);
            nodes.extend(hive("UsrClass.dat", hash, 6_815_744));
            nodes
        }
        ["appdata", "local", "microsoft", "windows", "webcache"] => vec![
            Node::noise("WebCacheV01.dat", hash, 42_467_328).guarded(Guard::Locked),
            Node::noise("V01.log", hash, 524_288).guarded(Guard::Locked),
        ],
        ["appdata", "roaming"] => folders(&["Microsoft", "Mozilla", "Adobe"]),
        ["appdata", "roaming", "microsoft"] => folders(&["Windows", "Office", "Protect"]),
        ["appdata", "roaming", "microsoft", "windows"] => folders(&["Recent", "Start Menu", "PowerShell"]),
        ["appdata", "roaming", "microsoft", "windows", "recent"] => (0..140)
            .map(|n| Node::noise(format!("{}.lnk", wild::word(seeded::mix(hash ^ n), n)), hash, 700 + n * 9))
            .collect(),
        ["appdata", "roaming", "microsoft", "windows", "powershell"] => folders(&["PSReadLine"]),
        ["appdata", "roaming", "microsoft", "windows", "powershell", "psreadline"] => {
            vec![Node::text("ConsoleHost_history.txt", hash, 9_216)]
        }
        ["downloads"] => vec![
            Node::noise("setup.exe", hash, 48_234_496),
            Node::inline(
                "setup.exe:Zone.Identifier",
                "[ZoneTransfer]\r\nZoneId=3\r\nHostUrl=https://example.test/setup.exe\r\n",
            ),
            Node::noise("invoice.pdf.exe", hash, 913_408),
            Node::inline("invoice.pdf.exe:Zone.Identifier", "[ZoneTransfer]\r\nZoneId=3\r\n"),
            Node::noise("photo.jpg", hash, 3_145_728),
        ],
        ["desktop"] => vec![
            Node::inline("desktop.ini", "[.ShellClassInfo]\r\n"),
            Node::noise("Work.lnk", hash, 1_412),
            Node::text("passwords.txt", hash, 288),
        ],
        ["onedrive"] => vec![
            Node::irregular("Budget 2026.xlsx", 412_672),
            Node::irregular("Holiday.mp4", 1_288_490_188),
            Node::noise("Local copy.docx", hash, 32_768),
        ],
        ["documents"] => {
            let mut nodes = wild::children(hash, 0, Richness::DOCUMENTS);
            nodes.extend([
                Node::directory("Case twins"),
                Node::directory("Odd names"),
                Node::directory("Odd times"),
                Node::link("My Music", "C:\\Users\\Public\\Music"),
            ]);
            if volume.shadow > 0 {
                nodes.push(Node::noise("deleted since.docx", hash, 77_824));
            }
            nodes
        }
        ["documents", "case twins"] => ["Readme.txt", "README.TXT", "readme.txt"]
            .map(|name| Node::inline(name, format!("I am {name}\r\n")))
            .to_vec(),
        ["documents", "odd names"] => odd_names(hash),
        ["documents", "odd times"] => vec![
            Node::inline("year 1601.txt", "x").at(Stamp::YEAR_1601),
            Node::inline("year 9999.txt", "x").at(Stamp::YEAR_9999),
            Node::inline("unknown.txt", "x").at(Stamp::UNKNOWN),
            Node::inline("fine.txt", "x").at(Stamp::new(1_700_000_000, 123_456_700)),
        ],
        ["documents", ..] => return wilderness(seed, original.get(..3)?, original.get(3..)?, Richness::DOCUMENTS),
        ["appdata", ..] => {
            let known = original.len().min(6);
            let base = original.get(..known)?;
            let quiet = Richness { depth: 2, folders: 4, files: 30 };
            return wilderness(seed, base, original.get(known..)?, quiet);
        }
        [_, ..] => {
            let quiet = Richness { depth: 2, folders: 3, files: 30 };
            return wilderness(seed, original.get(..3)?, original.get(3..)?, quiet);
        }
    })
}

fn windows(seed: u64, hash: u64, clock: &Clock, rest: &[&str], original: &[&str]) -> Option<Vec<Node>> {
    Some(match rest {
        [] => {
            let mut nodes =
                folders(&["System32", "SysWOW64", "WinSxS", "Prefetch", "appcompat", "Temp", "Fonts", "INF"]);
            nodes.extend(folders(&["Installer", "Logs", "Microsoft.NET", "servicing", "Tasks", "debug", "assembly"]));
            nodes.push(Node::noise("explorer.exe", hash, 5_555_888));
            nodes.push(Node::noise("notepad.exe", hash, 360_448).mode(0o444));
            nodes.push(Node::growing("WindowsUpdate.log", hash, 276, 16));
            nodes.push(Node::text("setupact.log", hash, 1_234_567));
            nodes
        }
        ["system32", "config"] => {
            let mut nodes = folders(&["RegBack", "TxR", "systemprofile"]);
            for (name, size) in [
                ("SAM", 131_072),
                ("SECURITY", 65_536),
                ("SOFTWARE", 98_566_144),
                ("SYSTEM", 23_068_672),
                ("DEFAULT", 786_432),
            ] {
                nodes.extend(hive(name, hash, size));
            }
            nodes
        }
        ["system32", "config", _] => Vec::new(),
        ["system32", "drivers"] => {
            let mut nodes = folders(&["etc"]);
            nodes.extend(named_files(hash, 480, &[".sys"]));
            nodes
        }
        ["system32", "drivers", "etc"] => {
            vec![Node::inline("hosts", "127.0.0.1 localhost\r\n"), Node::inline("services", "")]
        }
        ["system32", "winevt"] => folders(&["Logs"]),
        ["system32", "winevt", "logs"] => {
            let mut nodes: Vec<Node> = ["Security", "System", "Application", "Windows PowerShell"]
                .map(|name| Node::noise(format!("{name}.evtx"), hash, 20_975_616).guarded(Guard::Locked))
                .to_vec();
            nodes.extend((0..380u64).map(|n| {
                let name = wild::word(seeded::mix(hash ^ n), n);
                Node::noise(format!("Microsoft-Windows-{name}%4Operational.evtx"), hash, 69_632 + (n % 16) * 65_536)
            }));
            nodes
        }
        ["system32", "tasks"] => {
            let mut nodes = folders(&["Microsoft"]);
            nodes.push(Node::text("Updater", hash, 3_310));
            nodes
        }
        ["system32", "sru"] => vec![
            Node::noise("SRUDB.dat", hash, 9_437_184).guarded(Guard::Locked),
            Node::noise("SRU.log", hash, 65_536).guarded(Guard::Locked),
            Node::noise("SRU.chk", hash, 8_192).guarded(Guard::Locked),
        ],
        ["winsxs", _] => named_files(hash, 1 + hash % 5, &[".dll", ".mui", ".manifest"]).collect(),
        ["prefetch"] => (0..256u64)
            .map(|n| {
                let value = seeded::mix(hash ^ n);
                Node::noise(
                    format!("{}.EXE-{:08X}.pf", wild::word(value, n).to_uppercase(), value >> 32),
                    hash,
                    4096 + n * 113,
                )
            })
            .collect(),
        ["appcompat"] => folders(&["Programs"]),
        ["appcompat", "programs"] => hive("Amcache.hve", hash, 7_340_032),
        ["temp"] => {
            let minute = clock.seconds() / 60;
            vec![Node::text(format!("tmp{:04x}.tmp", minute & 0xffff), hash, 512), Node::directory("inuse")]
        }
        ["temp", "inuse"] => vec![Node::noise("held.bin", hash, 10_240).guarded(Guard::Locked)],
        ["tasks" | "debug"] => Vec::new(),
        [_, ..] => {
            // Two levels of C:\Windows are named above, what is below is ordinary.
            let known = original.len().min(3);
            let base = original.get(..known.min(2 + usize::from(rest.first() == Some(&"system32"))))?;
            return wilderness(seed, base, original.get(base.len()..)?, Richness::PROGRAM);
        }
    })
}

fn data_volume(seed: u64, hash: u64, volume: Volume, original: &[&str]) -> Option<Vec<Node>> {
    Some(match (volume.letter, original) {
        ('D', []) => {
            let mut nodes = folders(&["Images", "Projects", "Share"]);
            nodes.push(Node::directory("System Volume Information").guarded(Guard::Denied));
            nodes.push(Node::noise("$MFT", hash, 268_435_456));
            nodes
        }
        ('D', ["Images"]) => vec![
            Node::noise("server.vmdk", hash, 2 << 40),
            Node::noise("disk-10g.img", hash, 10 << 30),
            Node::sparse("thin.vhdx", hash, tail_of(64 << 30, 8 << 20)),
        ],
        ('D', ["System Volume Information"]) => vec![Node::noise("tracking.log", hash, 20_480)],
        ('D', ["Projects" | "Share", rest @ ..]) => {
            return wilderness(seed, original.get(..1)?, rest, Richness::DOCUMENTS);
        }
        ('E', []) => vec![Node::noise("DCIM0001.JPG", hash, 2_222_222), Node::directory("BACKUP")],
        ('E', ["BACKUP"]) => vec![Node::noise("FULL.ZIP", hash, 734_003_200)],
        _ => return None,
    })
}

/// A registry hive with its logs: in use, so that only raw access reads it.
fn hive(name: &str, hash: u64, size: u64) -> Vec<Node> {
    vec![
        Node::noise(name, hash, size).guarded(Guard::Locked),
        Node::noise(format!("{name}.LOG1"), hash, size / 8).guarded(Guard::Locked),
        Node::noise(format!("{name}.LOG2"), hash, size / 8).guarded(Guard::Locked),
    ]
}

/// A hole, and data only at the end.
fn tail_of(length: u64, data: u64) -> Vec<Run> {
    vec![Run { offset: 0, length: length - data, hole: true }, Run { offset: length - data, length: data, hole: false }]
}

fn odd_names(hash: u64) -> Vec<Node> {
    let mut nodes: Vec<Node> = [
        "trailing dot.",
        "trailing space ",
        "con",
        "aux.txt",
        "LPT1",
        "x.idx",
        "x.chunk",
        "100%.txt",
        "~$lock.docx",
        "nfc-caf\u{e9}.txt",
        "nfd-cafe\u{301}.txt",
        "emoji-😀.txt",
        "full\u{ff1a}colon.txt",
        "{json}",
        "semi;colon",
        "lone-\u{fffd}.txt",
        " leading",
    ]
    .map(|name| Node::inline(name, format!("content of {name}")))
    .to_vec();
    nodes.push(Node::noise(format!("{}.txt", "l".repeat(251)), hash, 251));
    nodes
}
