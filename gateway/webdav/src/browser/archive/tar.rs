//! POSIX tar (`ustar` with `pax` records for what does not fit): long names, large sizes, times below the second.

use vfs::Timestamp;

use super::Member;

/// Everything is written in such blocks.
const BLOCK: usize = 512;
/// The largest size and time that eleven octal digits hold.
const LARGEST: u64 = 0o777_7777_7777;

/// A tar that is being written.
#[derive(Default)]
pub(super) struct Tar {
    /// Bytes of the open member.
    written: usize,
}

impl Tar {
    pub(super) fn begin(&mut self, out: &mut Vec<u8>, member: &Member<'_>) {
        let path = if member.is_directory { format!("{}/", member.path) } else { member.path.to_owned() };
        let records = records(&path, member);
        if !records.is_empty() {
            let mut name = b"PaxHeaders/".to_vec();
            name.extend(path.bytes().map(|byte| if byte.is_ascii_graphic() { byte } else { b'_' }).take(80));
            header(out, &name, records.len() as u64, 0, b'x');
            out.extend_from_slice(&records);
            pad(out, records.len());
        }
        let seconds = member.modified.map_or(0, |time| u64::try_from(time.seconds).unwrap_or(0));
        let kind = if member.is_directory { b'5' } else { b'0' };
        header(out, path.as_bytes(), member.size, seconds, kind);
        self.written = 0;
    }

    pub(super) fn content(&mut self, bytes: &[u8]) {
        self.written = (self.written + bytes.len()) % BLOCK;
    }

    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        pad(out, self.written);
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.resize(out.len() + 2 * BLOCK, 0);
    }
}

fn pad(out: &mut Vec<u8>, written: usize) {
    let rest = written % BLOCK;
    if rest > 0 {
        out.resize(out.len() + BLOCK - rest, 0);
    }
}

/// The `pax` records of what the header cannot say.
fn records(path: &str, member: &Member<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if path.len() > 100 || !path.is_ascii() {
        record(&mut out, "path", path);
    }
    if member.size > LARGEST {
        record(&mut out, "size", &member.size.to_string());
    }
    if let Some(Timestamp { seconds, nanos }) = member.modified
        && (nanos > 0 || seconds < 0 || u64::try_from(seconds).is_ok_and(|seconds| seconds > LARGEST))
    {
        // Seconds are rounded down, and the fraction is added: below zero that is another number.
        let text = match (seconds, nanos) {
            (seconds, 0) => seconds.to_string(),
            (seconds @ 0.., nanos) => format!("{seconds}.{nanos:09}"),
            (-1, nanos) => format!("-0.{:09}", 1_000_000_000 - nanos),
            (seconds, nanos) => format!("{}.{:09}", seconds + 1, 1_000_000_000 - nanos),
        };
        record(&mut out, "mtime", &text);
    }
    out
}

/// `LENGTH key=value\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    out.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}

fn header(out: &mut Vec<u8>, path: &[u8], size: u64, seconds: u64, kind: u8) {
    let mut block = [0; BLOCK];
    let name = &path[..path.len().min(100)];
    block[..name.len()].copy_from_slice(name);
    octal(&mut block[100..108], if kind == b'5' { 0o555 } else { 0o444 });
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], size.min(LARGEST));
    octal(&mut block[136..148], seconds.min(LARGEST));
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    block[155] = b' ';
    out.extend_from_slice(&block);
}

/// Octal digits and a zero byte.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    field[..digits].copy_from_slice(&text.as_bytes()[text.len() - digits..]);
    field[digits] = 0;
}
