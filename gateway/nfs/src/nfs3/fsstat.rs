//! FSSTAT (RFC 1813 §3.3.18). How full an endpoint's disk is, nobody has asked it; nothing can be written, so nothing is free.

use std::sync::Arc;

use super::Shared;
use super::about::about_file_system;
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request};

/// Bytes total, free, available; files total, free, available.
const FIGURES: [u64; 6] = [0; 6];
/// The figures may be asked for again at any time.
const INVARIABLE_SECONDS: u32 = 0;

pub(super) fn call(
    shared: &Arc<Shared>,
    request: &Request<'_>,
    arguments: &mut Decoder<'_>,
    reply: &mut Reply,
) -> Result<Answer, Refusal> {
    about_file_system(shared, request, arguments, reply, |_, _, reply| {
        FIGURES.iter().for_each(|figure| reply.u64(*figure));
        reply.u32(INVARIABLE_SECONDS);
    })
}
