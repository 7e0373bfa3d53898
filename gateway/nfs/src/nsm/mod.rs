//! NSM version 1 (the Open Group's "Protocols for Interworking: XNFS", chapter 11): enough that clients which insist on a status
//! monitor find one. Nothing is monitored: locks here protect nothing that could be damaged, so nobody has to be told of restarts.

use std::sync::Arc;

use crate::nlm::Locks;
use crate::rpc::{Answer, Decoder, Refusal, Reply, Request, Service};

/// Program number.
pub(crate) const PROGRAM: u32 = 100_024;
/// The one version.
pub(crate) const VERSION: u32 = 1;

const PROCEDURES: [&str; 7] = ["NULL", "STAT", "MON", "UNMON", "UNMON_ALL", "SIMU_CRASH", "NOTIFY"];
const NAME_LIMIT: usize = 1024;
const PRIVATE_BYTES: usize = 16;
/// `STAT_SUCC` and `STAT_FAIL`.
const SUCCEEDED: u32 = 0;
const FAILED: u32 = 1;
/// Odd: up.
const STATE: u32 = 1;

/// The program.
pub(crate) struct Nsm {
    locks: Arc<Locks>,
}

impl Nsm {
    pub(crate) fn new(locks: Arc<Locks>) -> Nsm {
        Nsm { locks }
    }
}

impl Service for Nsm {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn name(&self) -> &'static str {
        "nsm"
    }

    fn versions(&self) -> (u32, u32) {
        (VERSION, VERSION)
    }

    fn procedures(&self) -> &'static [&'static str] {
        &PROCEDURES
    }

    fn call(&self, request: &Request<'_>, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal> {
        // Only this machine's own lock manager has a monitor to ask things of.
        let result = if request.peer.is_loopback() { SUCCEEDED } else { FAILED };
        match request.procedure {
            0 => {}
            1 => {
                arguments.opaque(NAME_LIMIT)?;
                reply.u32(SUCCEEDED);
                reply.u32(STATE);
            }
            2 => {
                arguments.opaque(NAME_LIMIT)?;
                skip_my_id(arguments)?;
                arguments.fixed(PRIVATE_BYTES)?;
                reply.u32(result);
                reply.u32(STATE);
            }
            3 => {
                arguments.opaque(NAME_LIMIT)?;
                skip_my_id(arguments)?;
                reply.u32(STATE);
            }
            4 => {
                skip_my_id(arguments)?;
                reply.u32(STATE);
            }
            5 => {}
            6 => {
                let name = arguments.opaque(NAME_LIMIT)?;
                let _state = arguments.u32()?;
                // It restarted: whatever it had locked, it does not hold any more.
                self.locks.forget(request.peer.address.ip(), name);
            }
            _ => return Err(Refusal::ProcedureUnavailable),
        }
        Ok(Answer::Written)
    }
}

/// `my_id`: name, program, version, procedure.
fn skip_my_id(arguments: &mut Decoder<'_>) -> Result<(), Refusal> {
    arguments.opaque(NAME_LIMIT)?;
    for _ in 0..3 {
        arguments.u32()?;
    }
    Ok(())
}
