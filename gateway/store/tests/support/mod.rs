//! Records for the tests of this room.

use std::sync::Arc;

use vfs::backend::{ContentLocation, FileState, Observation};
use vfs::endpoint::{Endpoint, EndpointId, System};
use vfs::node::Identity;
use vfs::path::EndpointPath;
use vfs::snapshot::Times;
use vfs::store::{
    Collected, DirectoryKey, DirectoryRecord, FileAsListed, FileRecord, HeldRange, IdentityText, InRanges,
    ListingRecord, Place,
};
use vfs::timestamp::Timestamp;

/// The directory number `own` of endpoint number `export`.
pub fn key(export: u64, own: u128) -> DirectoryKey {
    DirectoryKey { export, own: Identity(own) }
}

/// Seen at `seconds`.
pub fn observation(seconds: i64) -> Observation {
    let at = Timestamp::new(seconds, 7);
    Observation { job: format!("F.{seconds}").into(), by: "analyst".into(), started: at, seen: at, first_row: 3 }
}

/// A directory; listed if `generation` is not 0.
pub fn directory(name: &str, generation: u32) -> DirectoryRecord {
    let path = EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto").child(name).expect("a good name");
    let listing =
        ListingRecord { observation: observation(i64::from(generation)), entries: generation, settled: false };
    DirectoryRecord {
        parent: IdentityText(Identity::ROOT),
        place: Place::Endpoint(path),
        generation,
        listing: (generation > 0).then_some(listing),
        failure: None,
    }
}

/// A file collected once.
#[allow(dead_code)] // not every test binary needs it
pub fn file(version: u32) -> FileRecord {
    FileRecord {
        collected: vec![Collected {
            version,
            listed: FileAsListed {
                name: "a file".into(),
                size: 5,
                times: Some(Times { modified: Some(Timestamp::new(1, 2)), ..Times::default() }),
            },
            size: 5,
            location: ContentLocation { org: "root".into(), components: vec!["clients".into(), "C.1".into()] },
            sparse: false,
            observation: observation(9),
            set: Some("F.1".into()),
            sha256_endpoint: None,
            digests: None,
        }],
        in_ranges: vec![InRanges {
            version: version + 1,
            listed: FileAsListed::default(),
            state: FileState { size: 10 << 30, modified: None },
            held: vec![HeldRange {
                offset: 1 << 20,
                length: 1 << 20,
                location: ContentLocation { org: "root".into(), components: vec!["range".into()] },
                observation: observation(9),
                sha256_endpoint: Some("ab".repeat(32)),
            }],
        }],
    }
}

/// An endpoint.
#[allow(dead_code)] // not every test binary needs it
pub fn endpoint(client: u32, hostname: &str) -> Endpoint {
    Endpoint {
        id: EndpointId { org: Arc::from("root"), client_id: format!("C.{client}").into() },
        hostname: hostname.into(),
        system: System::Linux,
        agent_version: String::new(),
        labels: vec![],
        last_seen: None,
        first_seen: None,
    }
}

/// Bytes that do not compress and depend on `seed` only.
#[allow(dead_code)] // not every test binary needs it
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
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
