//! What the writers write, read back.

use proptest::prelude::*;

use super::*;

fn written(mut writer: Writer, members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, content) in members {
        let modified = Some(Timestamp::new(1_600_000_000, 123_456_700));
        writer.begin(&mut out, &Member { path, size: content.len() as u64, modified, is_directory: false });
        for piece in content.chunks(7) {
            writer.content(piece);
            out.extend_from_slice(piece);
        }
        writer.end(&mut out);
    }
    writer.finish(&mut out);
    out
}

/// Paths and contents of a tar, by its headers and the `path` records before them.
fn read_tar(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut at, mut long, mut members) = (0, None, Vec::new());
    while bytes[at] != 0 {
        let header = &bytes[at..at + 512];
        let number = |range: std::ops::Range<usize>| {
            let text = std::str::from_utf8(&header[range]).unwrap().trim_end_matches('\0');
            usize::from_str_radix(text, 8).unwrap()
        };
        let sum: usize =
            (0..512).map(|index| if (148..156).contains(&index) { 32 } else { usize::from(header[index]) }).sum();
        assert_eq!(number(148..154), sum);
        let size = number(124..136);
        let content = bytes[at + 512..at + 512 + size].to_vec();
        at += 512 + size.div_ceil(512) * 512;
        if header[156] == b'x' {
            let mut rest = &content[..];
            while !rest.is_empty() {
                let space = rest.iter().position(|byte| *byte == b' ').unwrap();
                let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                let record = std::str::from_utf8(&rest[space + 1..length - 1]).unwrap();
                assert_eq!(rest[length - 1], b'\n');
                if let Some(path) = record.strip_prefix("path=") {
                    long = Some(path.to_owned());
                }
                rest = &rest[length..];
            }
            continue;
        }
        let short = header[..100].split(|byte| *byte == 0).next().unwrap();
        let path = long.take().unwrap_or_else(|| String::from_utf8(short.to_vec()).unwrap());
        members.push((path, content));
    }
    assert_eq!(bytes.len() - at, 1024);
    members
}

/// Paths and contents of a zip, by its central directory.
fn read_zip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let two = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let eight = |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let locator = bytes.len() - 22 - 20;
    assert_eq!(&bytes[locator..locator + 4], b"PK\x06\x07");
    let end = eight(locator + 8);
    assert_eq!(&bytes[end..end + 4], b"PK\x06\x06");
    let (count, mut at) = (eight(end + 32), eight(end + 48));
    let mut members = Vec::new();
    for _ in 0..count {
        assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
        let (name, extra) = (two(at + 28), two(at + 30));
        let path = String::from_utf8(bytes[at + 46..at + 46 + name].to_vec()).unwrap();
        let large = at + 46 + name + 4;
        let (size, offset) = (eight(large), eight(large + 16));
        let start = offset + 30 + two(offset + 26) + two(offset + 28);
        let content = bytes[start..start + size].to_vec();
        let checksum = u32::from_le_bytes(bytes[at + 16..at + 20].try_into().unwrap());
        assert_eq!(crc32fast::hash(&content), checksum);
        assert_eq!(&bytes[start + size..start + size + 4], b"PK\x07\x08");
        members.push((path, content));
        at += 46 + name + extra;
    }
    assert_eq!(at, end);
    members
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        members in proptest::collection::vec(("[a-zäß日/ ]{1,130}", proptest::collection::vec(any::<u8>(), 0..1500)), 0..6),
    ) {
        let members: Vec<(String, Vec<u8>)> = members;
        prop_assert_eq!(read_tar(&written(Writer::Tar(Tar::default()), &members)), members.clone());
        prop_assert_eq!(read_zip(&written(Writer::Zip(Zip::default()), &members)), members);
    }
}
