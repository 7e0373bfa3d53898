//! Whether a file may be opened so: what programs of the workstation read without anybody asking must neither reach the endpoint nor
//! bring malware to life (D15, D25, D39). The browser, and whoever asks in so many words, are always served.

mod bursts;
mod samples;

use vfs::{Found, NodeKind, Vfs};

use crate::client::ClientClass;
use crate::config::{Opening, Samples};
use crate::content::read_start;
use crate::exchange::{Audience, Exchange};
use crate::refusal::Refusal;
use bursts::Bursts;

/// What Windows reads through a drive without any change to its registry.
const WINDOWS_FILE_LIMIT: u64 = 50_000_000;
/// And with the kit: the registry has 32 bits for it.
const RAISED_FILE_LIMIT: u64 = u32::MAX as u64;

/// Judges every opening.
#[derive(Default)]
pub(crate) struct Openings {
    bursts: Bursts,
}

impl Openings {
    /// Refuses a GET of `found` that must not be. What is `packed` runs nowhere: no client opens archives by itself.
    pub(crate) async fn judge(
        &self,
        vfs: &Vfs,
        exchange: &Exchange,
        found: &Found,
        packed: bool,
    ) -> Result<(), Refusal> {
        if found.node.kind != NodeKind::File || exchange.audience() == Audience::Browser {
            return Ok(());
        }
        refuse_what_windows_cannot_read(exchange, found)?;
        let guards_samples =
            !packed && exchange.class.opens_by_itself() && exchange.config().samples == Samples::Packed;
        let name = exchange.class.profile().read(exchange.path.name().unwrap_or_default()).into_owned();
        if guards_samples && samples::may_run(&name) {
            return Err(sample(exchange));
        }
        let is_here = found.attributes.collected || found.attributes.size == Some(0);
        if !is_here && !exchange.asks("collect") {
            if exchange.config().opening == Opening::Manual {
                return Err(uncollected(exchange));
            }
            if exchange.class.opens_in_bursts() && self.bursts.is_one(exchange, &found.node) {
                let reason = "too many files of one folder were opened at once";
                tracing::warn!(path = %exchange.path, client = ?exchange.class, peer = ?exchange.peer, reason);
                vfs.record_refusal(&found.node, &exchange.path.to_string(), &exchange.call(), reason);
                return Err(burst(exchange));
            }
        }
        if guards_samples {
            // A name proves nothing: a program may be called anything.
            let start = read_start(vfs, exchange, &found.node).await?;
            if samples::is_program(&start) {
                return Err(sample(exchange));
            }
        }
        Ok(())
    }
}

/// Windows fails on it anyway, after it has fetched all of it (D15).
fn refuse_what_windows_cannot_read(exchange: &Exchange, found: &Found) -> Result<(), Refusal> {
    if exchange.class != ClientClass::MiniRedir {
        return Ok(());
    }
    let raised = exchange.has_raised_limits();
    let limit = if raised { RAISED_FILE_LIMIT } else { WINDOWS_FILE_LIMIT };
    let Some(size) = found.attributes.size.filter(|size| *size > limit) else { return Ok(()) };
    let origin = exchange.origin();
    let advice = if raised {
        format!(
            "no registry value raises that further: download it in a browser, {origin}{}",
            exchange.path.file_href()
        )
    } else {
        format!("{origin}/-/connect has a script that raises that and maps the drive anew")
    };
    Err(Refusal::new(
        http::StatusCode::PAYLOAD_TOO_LARGE,
        format!("this file has {size} bytes, and Windows reads no more than {limit} through a drive; {advice}"),
    ))
}

fn sample(exchange: &Exchange) -> Refusal {
    let address = format!("{}{}", exchange.origin(), plain_href(exchange));
    Refusal::forbidden(format!(
        "programs, scripts, shortcuts and documents with macros are not opened through a drive, because this computer might run \
         them; download it packed (password `infected`): {address}?as=zip , or have the gateway started with --samples raw"
    ))
}

fn uncollected(exchange: &Exchange) -> Refusal {
    let address = format!("{}{}", exchange.origin(), plain_href(exchange));
    Refusal::forbidden(format!(
        "this file was never collected, and this gateway collects only what is asked for: open {address} in a browser and press \
         Collect, or use `raptorgate collect`, or ask for {address}?collect"
    ))
}

fn burst(exchange: &Exchange) -> Refusal {
    let address = format!("{}{}", exchange.origin(), plain_href(exchange));
    Refusal::forbidden(format!(
        "several files of this folder were opened at once, as programs do that draw previews: nothing of it is collected for this \
         client in the next {} seconds; what was meant can be collected at {address} or by `raptorgate collect`",
        bursts::REFUSED.as_secs()
    ))
}

/// The path as a browser finds it: raw names, no prefix.
fn plain_href(exchange: &Exchange) -> String {
    let profile = exchange.class.profile();
    let raw = exchange.path.segments().iter().map(|name| profile.read(name));
    raw.map(|name| format!("/{}", crate::path::encode(&vfs::Profile::Posix.spell(&name)))).collect()
}
