//! DUMP, UMNT, UMNTALL: who said that it mounted what. In memory and for information only: handles do not depend on it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::rpc::Reply;

/// What is remembered; the oldest is forgotten first.
const REMEMBERED: usize = 1_024;

/// The list of mounts.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    entries: Mutex<VecDeque<(IpAddr, Vec<u8>)>>,
}

impl Mounts {
    pub(super) fn add(&self, peer: IpAddr, path: &[u8]) {
        let mut entries = self.lock();
        if entries.iter().any(|(known, at)| *known == peer && at == path) {
            return;
        }
        if entries.len() >= REMEMBERED {
            entries.pop_front();
        }
        entries.push_back((peer, path.to_vec()));
    }

    pub(super) fn remove(&self, peer: IpAddr, path: &[u8]) {
        self.lock().retain(|(known, at)| *known != peer || at != path);
    }

    pub(super) fn remove_all(&self, peer: IpAddr) {
        self.lock().retain(|(known, _)| *known != peer);
    }

    /// What this address has mounted.
    pub(crate) fn of(&self, peer: IpAddr) -> Vec<String> {
        let entries = self.lock();
        let own = entries.iter().filter(|(known, _)| *known == peer);
        own.map(|(_, path)| String::from_utf8_lossy(path).into_owned()).collect()
    }

    /// `mountlist`.
    pub(super) fn put(&self, reply: &mut Reply) {
        for (peer, path) in self.lock().iter() {
            reply.boolean(true);
            reply.opaque(peer.to_string().as_bytes());
            reply.opaque(path);
        }
        reply.boolean(false);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(IpAddr, Vec<u8>)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
