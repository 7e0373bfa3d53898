//! Memory for chunks that are read, used again: a new megabyte costs a page fault for each 4 KiB, which is a third of what reading it costs.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that wait for the next chunk at most.
const KEPT: usize = 8;

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer in use; it goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// As many bytes as were asked for. What they are before something is read into them means nothing.
    pub bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of `length` bytes.
    pub(crate) fn take(self: &Arc<Buffers>, length: usize) -> Buffer {
        let mut bytes = self.free().pop().unwrap_or_default();
        bytes.resize(length, 0);
        Buffer { bytes, home: self.clone() }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.free();
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_have_the_length_that_was_asked_for_and_only_so_many_wait() {
        let buffers = Arc::new(Buffers::default());
        let used: Vec<Buffer> = (1..=KEPT + 3).map(|length| buffers.take(length)).collect();
        drop(used);
        assert_eq!(buffers.free().len(), KEPT);
        for length in [0, 5, 1 << 20, 7] {
            let mut buffer = buffers.take(length);
            assert_eq!(buffer.as_ref().len(), length);
            buffer.bytes.fill(1);
        }
    }
}
