//! Hashes over contents that were received whole (D8): computed once, behind everybody's back, and compared with the endpoint's own.

use std::sync::Arc;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::chunks::chunk_count;
use super::update_file;
use crate::error::{Error, Result};
use crate::store::{Collected, ContentKey, Digests};
use crate::tree::blocking;
use crate::vfs::Inner;

impl Inner {
    /// Hashes a content whose chunks are all in the local store, unless that was done or is being done.
    pub(crate) fn digest_in_background(self: &Arc<Self>, collected: &Collected, content: ContentKey) {
        if collected.digests.is_some() || !self.digesting.insert(content) {
            return;
        }
        let inner = self.clone();
        let collected = collected.clone();
        tokio::spawn(async move {
            if let Err(error) = inner.digest(&collected, content).await {
                tracing::warn!(flow = %collected.observation.job, %error, "a collected file could not be hashed");
            }
            inner.digesting.remove(&content);
        });
    }

    async fn digest(self: &Arc<Self>, collected: &Collected, content: ContentKey) -> Result<()> {
        let store = self.store.clone();
        let size = collected.size;
        let now = self.clock.now();
        let digests = blocking(move || {
            let (mut sha256, mut sha1, mut md5) = (Sha256::new(), Sha1::new(), Md5::new());
            let mut length = 0;
            for index in 0..chunk_count(size) {
                let chunk = store.chunk(content, index)?.ok_or_else(|| Error::backend("a chunk is missing"))?;
                sha256.update(&chunk);
                sha1.update(&chunk);
                md5.update(&chunk);
                length += chunk.len() as u64;
            }
            Ok(Digests {
                sha256: hex(&sha256.finalize()),
                sha1: hex(&sha1.finalize()),
                md5: hex(&md5.finalize()),
                length,
                at: now,
            })
        })
        .await?;
        if let Some(endpoint) = &collected.sha256_endpoint
            && *endpoint != digests.sha256
        {
            tracing::error!(flow = %collected.observation.job, %endpoint, gateway = %digests.sha256,
                "the hash of what the gateway received differs from the endpoint's: do not rely on this copy");
        }
        let Some((_, (key, own))) = self.owners.remove(&content) else {
            return Ok(());
        };
        let directory = self.tree.resolve_key(key).await?;
        self.tree.load(&directory).await?;
        let location = collected.location.clone();
        update_file(self, &directory, own, move |record| {
            let copy = record.collected.iter_mut().find(|copy| copy.location == location);
            copy.map(|copy| copy.digests = Some(digests)).is_some()
        })
        .await
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
