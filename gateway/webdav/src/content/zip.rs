//! A file in an encrypted ZIP archive (`?as=zip`, D25): AES-256 as WinZip has it (AE-2), password `infected`. The archive is made while
//! it is sent, and its length is known before.

use std::collections::VecDeque;
use std::io;

use aes::Aes256;
use bytes::Bytes;
use ctr::Ctr128LE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use futures_util::stream;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use vfs::Timestamp;

use super::send::Rest;
use crate::body::{Body, Frames};
use crate::dates;

/// The password that everybody who handles samples knows.
const PASSWORD: &[u8] = b"infected";
const ROUNDS: u32 = 1_000;
const SALT: usize = 16;
const CHECK: usize = 2;
const PROOF: usize = 10;
/// What encryption adds to a content.
const OVERHEAD: u64 = (SALT + CHECK + PROOF) as u64;
/// From here on sizes and offsets have fields of their own (ZIP64).
const LARGE: u64 = u32::MAX as u64 - 0x10_0000;

/// The fixed parts of an archive with one file.
struct Archive {
    name: Vec<u8>,
    size: u64,
    modified: (u16, u16),
}

/// An archive of the content that `rest` brings.
pub(super) fn body(name: &str, modified: Option<Timestamp>, rest: Rest) -> io::Result<Body> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
    let archive = Archive::new(name, modified, rest.unsent());
    let length = archive.length();
    let seal = Seal::new(&salt);
    let mut start = archive.local_header();
    start.extend_from_slice(&salt);
    start.extend_from_slice(&seal.check);
    let state = Sending { ready: VecDeque::from([Bytes::from(start)]), rest, seal: Some(seal), archive };
    let frames: Frames = Box::pin(stream::try_unfold(state, |mut state| async move {
        let frame = state.next().await?;
        Ok(frame.map(|frame| (frame, state)))
    }));
    Ok(Body::Exact { frames, remaining: length })
}

/// Bytes of the archive of a file.
pub(super) fn length(name: &str, size: u64) -> u64 {
    Archive::new(name, None, size).length()
}

struct Sending {
    ready: VecDeque<Bytes>,
    rest: Rest,
    seal: Option<Seal>,
    archive: Archive,
}

impl Sending {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(frame) = self.ready.pop_front() {
            return Ok(Some(frame));
        }
        let Some(seal) = &mut self.seal else { return Ok(None) };
        if let Some(piece) = self.rest.piece().await? {
            return Ok(Some(seal.encrypt(&piece)));
        }
        let Some(seal) = self.seal.take() else { return Ok(None) };
        let mut end = seal.proof().to_vec();
        end.extend_from_slice(&self.archive.directory());
        Ok(Some(end.into()))
    }
}

/// Encrypts, and proves at the end that nothing was changed.
struct Seal {
    cipher: Ctr128LE<Aes256>,
    mac: Hmac<Sha1>,
    check: [u8; CHECK],
}

impl Seal {
    fn new(salt: &[u8; SALT]) -> Seal {
        let mut keys = [0; 32 + 32 + CHECK];
        pbkdf2::pbkdf2_hmac::<Sha1>(PASSWORD, salt, ROUNDS, &mut keys);
        let mut counter = [0; 16];
        counter[0] = 1;
        let mut key = [0; 32];
        key.copy_from_slice(&keys[..32]);
        let mut mac_key = [0; 64]; // as HMAC pads it
        mac_key[..32].copy_from_slice(&keys[32..64]);
        Seal {
            cipher: Ctr128LE::new(&key.into(), &counter.into()),
            mac: <Hmac<Sha1> as Mac>::new(&mac_key.into()),
            check: [keys[64], keys[65]],
        }
    }

    fn encrypt(&mut self, piece: &[u8]) -> Bytes {
        let mut piece = piece.to_vec();
        self.cipher.apply_keystream(&mut piece);
        self.mac.update(&piece);
        piece.into()
    }

    fn proof(self) -> [u8; PROOF] {
        let mut proof = [0; PROOF];
        proof.copy_from_slice(&self.mac.finalize().into_bytes()[..PROOF]);
        proof
    }
}

impl Archive {
    fn new(name: &str, modified: Option<Timestamp>, size: u64) -> Archive {
        // No archiver shall write elsewhere than where it is told to.
        let name = name.replace(['/', '\\'], "_");
        Archive { name: name.into_bytes(), size, modified: dates::dos(modified) }
    }

    fn stored(&self) -> u64 {
        self.size + OVERHEAD
    }

    fn is_large(&self) -> bool {
        self.size >= LARGE
    }

    fn length(&self) -> u64 {
        self.local_header().len() as u64 + self.stored() + self.directory().len() as u64
    }

    fn sizes(&self) -> [u32; 2] {
        let field = |size: u64| if self.is_large() { u32::MAX } else { u32::try_from(size).unwrap_or(u32::MAX) };
        [field(self.stored()), field(self.size)]
    }

    /// Fields that local header and directory have in common: from the version needed to the length of the name.
    fn common(&self, out: &mut Vec<u8>) {
        let (time, date) = self.modified;
        for value in [51, 0x0801, 99, time, date] {
            out.extend_from_slice(&u16::to_le_bytes(value)); // encrypted, with a UTF-8 name; method 99 is AES
        }
        out.extend_from_slice(&[0; 4]); // AE-2 has no checksum of the plain content
        for size in self.sizes() {
            out.extend_from_slice(&size.to_le_bytes());
        }
        out.extend_from_slice(&u16::try_from(self.name.len()).unwrap_or(u16::MAX).to_le_bytes());
    }

    /// The extra fields: AE-2 with 256 bits over stored content, and large sizes.
    fn extra(&self) -> Vec<u8> {
        let mut extra = vec![0x01, 0x99, 7, 0, 2, 0, b'A', b'E', 3, 0, 0];
        if self.is_large() {
            extra.extend_from_slice(&[1, 0, 16, 0]);
            extra.extend_from_slice(&self.size.to_le_bytes());
            extra.extend_from_slice(&self.stored().to_le_bytes());
        }
        extra
    }

    fn local_header(&self) -> Vec<u8> {
        let mut out = b"PK\x03\x04".to_vec();
        self.common(&mut out);
        let extra = self.extra();
        out.extend_from_slice(&u16::try_from(extra.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&extra);
        out
    }

    /// The central directory and what ends the archive.
    fn directory(&self) -> Vec<u8> {
        let start = self.local_header().len() as u64 + self.stored();
        let mut out = b"PK\x01\x02\x33\x00".to_vec();
        self.common(&mut out);
        let extra = self.extra();
        out.extend_from_slice(&u16::try_from(extra.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&[0; 14]); // no comment, disk 0, no attributes, at offset 0
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&extra);
        let length = out.len() as u64;
        if self.is_large() {
            let end = start + length;
            out.extend_from_slice(b"PK\x06\x06");
            out.extend_from_slice(&44_u64.to_le_bytes());
            out.extend_from_slice(&[51, 0, 51, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for value in [1, 1, length, start] {
                out.extend_from_slice(&u64::to_le_bytes(value));
            }
            out.extend_from_slice(b"PK\x06\x07\0\0\0\0");
            out.extend_from_slice(&end.to_le_bytes());
            out.extend_from_slice(&1_u32.to_le_bytes());
        }
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        let start = if self.is_large() { u32::MAX } else { u32::try_from(start).unwrap_or(u32::MAX) };
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures made with the primitives that pyzipper uses.
    #[test]
    fn the_encryption_is_that_of_other_archivers() {
        let mut seal = Seal::new(&[7; SALT]);
        let check = seal.check;
        let ciphertext = seal.encrypt(b"MZ this is no program, only a test of counters");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&check), "3211");
        assert_eq!(
            hex(&ciphertext),
            "ada60078ec49811444fd4f124dc3eb814522d70168e71b67055786018123148fab71cfbe5fcf94dc87f4d4ddac1d"
        );
        assert_eq!(hex(&seal.proof()), "0c9c1f2d0046eea88c65");
    }

    #[test]
    fn large_archives_have_large_fields() {
        let archive = Archive::new("a", None, 5 << 30);
        assert_eq!(archive.sizes(), [u32::MAX; 2]);
        let directory = archive.directory();
        let at = directory.windows(4).position(|bytes| bytes == b"PK\x06\x06").unwrap();
        assert_eq!(directory[at + 48..at + 56], (archive.local_header().len() as u64 + archive.stored()).to_le_bytes());
        assert_eq!(length("a", 5 << 30), archive.length());
    }
}
