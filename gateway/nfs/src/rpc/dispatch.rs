//! From a record to an answer: which program, which version, which procedure, and what is said if there is none.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;

use super::admission::{Admission, AuthStatus};
use super::credential::Credential;
use super::decode::{Decoder, Malformed};
use super::message::Header;
use super::peer::Peer;
use super::reply::{Finished, Reply};
use super::table::Slot;
use crate::metrics::{Failure, Laps, ProcedureMetrics, Procedures};
use crate::peer::Sign;

/// The procedure that does nothing, of every program.
const NULL: u32 = 0;

/// A call whose program and version exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub xid: u32,
    pub version: u32,
    pub procedure: u32,
    pub credential: Credential<'a>,
    pub peer: &'a Arc<Peer>,
    /// The rule of D3 lets this caller do more than NULL.
    pub admitted: bool,
    /// One more call may be held (D34).
    pub may_wait: bool,
}

/// What a service did with a call.
pub(crate) enum Answer {
    /// The results are in the reply.
    Written,
    /// They come later; nothing of the reply that was handed in is used.
    Later(Waiting),
    /// Nothing is answered: the client will ask again.
    Silent,
}

/// A call that waits. `None`: nothing is answered.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Option<Reply>> + Send>>;

/// Boxes the rest of a call that has to wait.
pub(crate) fn waiting(rest: impl Future<Output = Option<Reply>> + Send + 'static) -> Answer {
    Answer::Later(Box::pin(rest))
}

/// Why there are no results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The arguments are not what the procedure takes.
    GarbageArguments,
    /// There is no such procedure in this version.
    ProcedureUnavailable,
    /// Who calls, or how, is not enough; why, for the log.
    TooWeak(&'static str),
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Refusal {
        Refusal::GarbageArguments
    }
}

/// One RPC program.
pub(crate) trait Service: Send + Sync + 'static {
    /// Its number.
    fn program(&self) -> u32;

    /// Its name, for metrics.
    fn name(&self) -> &'static str;

    /// Lowest and highest version.
    fn versions(&self) -> (u32, u32);

    /// Names of the procedures by number, for metrics.
    fn procedures(&self) -> &'static [&'static str];

    /// Answers a call of a version between the two of [`Service::versions`].
    ///
    /// # Errors
    /// What the RPC layer says instead of results.
    fn call(&self, request: &Request<'_>, arguments: &mut Decoder<'_>, reply: &mut Reply) -> Result<Answer, Refusal>;
}

/// All programs of the server. Every socket serves all of them (some only over one transport, which is the service's business).
pub(crate) struct Programs {
    entries: Vec<(Box<dyn Service>, Arc<Procedures>)>,
    admission: Admission,
    /// The probe for TLS is answered with yes.
    does_tls: bool,
}

/// What became of a record.
pub(crate) enum Dispatched {
    /// Answered, behind what the buffer held.
    Reply(Finished),
    /// Answered later.
    Later { waiting: Waiting, buffer: BytesMut, metrics: Arc<Procedures>, procedure: u32 },
    /// Answered: the next bytes on this connection, in both directions, are a TLS handshake.
    StartTls(Finished),
    /// Not answered.
    Silent(BytesMut),
    /// No call at all: the stream cannot be trusted.
    NoCall(BytesMut),
}

impl Programs {
    pub(crate) fn new(services: Vec<Box<dyn Service>>, admission: Admission, does_tls: bool) -> Programs {
        let entries = services.into_iter().map(|service| {
            let metrics = Arc::new(Procedures::new(service.name(), service.procedures()));
            (service, metrics)
        });
        Programs { entries: entries.collect(), admission, does_tls }
    }

    pub(crate) fn metrics(&self) -> Vec<ProcedureMetrics> {
        self.entries.iter().flat_map(|(_, metrics)| metrics.report()).collect()
    }

    /// Answers one record, appending to `buffer`. `laps` measures the calls that are answered one after the other.
    #[inline]
    pub(crate) fn dispatch(
        &self,
        record: &[u8],
        (peer, slot): (&Arc<Peer>, &Slot),
        buffer: BytesMut,
        laps: &mut Laps,
    ) -> Dispatched {
        laps.begin();
        let mut decoder = Decoder::new(record);
        let Ok(header) = Header::read(&mut decoder) else { return Dispatched::NoCall(buffer) };
        let mut reply = Reply::append(buffer, header.xid);
        let Some(target) = header.target else { return Dispatched::Reply(reply.rpc_mismatch()) };
        if let Ok(credential) = &target.credential {
            peer.look(|| Sign::of_call(target.program, target.version, target.procedure, credential));
        }
        reply.respect(peer.treatment().habits);
        let Some((service, metrics)) = self.entries.iter().find(|(service, _)| service.program() == target.program)
        else {
            return Dispatched::Reply(reply.program_unavailable());
        };
        let credential = match target.credential {
            // Whatever the version: clients that look for the version that we serve probe anew with each.
            Ok(Credential::TlsProbe) if self.does_tls && target.procedure == NULL && peer.may_start_tls() => {
                return Dispatched::StartTls(reply.start_tls());
            }
            Ok(Credential::TlsProbe | Credential::Unsupported(_)) | Err(Malformed) => {
                return Dispatched::Reply(reply.auth_error(AuthStatus::BadCredential));
            }
            Ok(credential) => credential,
        };
        let (low, high) = service.versions();
        if !(low..=high).contains(&target.version) {
            return Dispatched::Reply(reply.program_mismatch(low, high));
        }
        let request = Request {
            xid: header.xid,
            version: target.version,
            procedure: target.procedure,
            credential,
            peer,
            admitted: self.admission.admits(peer, &credential),
            may_wait: slot.may_hold(),
        };
        match service.call(&request, &mut decoder, &mut reply) {
            Ok(Answer::Written) => {
                metrics.answered(target.procedure, &reply, laps);
                Dispatched::Reply(reply.finish())
            }
            Ok(Answer::Later(waiting)) => Dispatched::Later {
                waiting,
                buffer: reply.abandon(),
                metrics: metrics.clone(),
                procedure: target.procedure,
            },
            Ok(Answer::Silent) => {
                metrics.refused(target.procedure, Failure::Unanswered, laps);
                Dispatched::Silent(reply.abandon())
            }
            Err(refusal) => {
                let failure = match refusal {
                    Refusal::GarbageArguments => Failure::GarbageArguments,
                    Refusal::ProcedureUnavailable => Failure::ProcedureUnavailable,
                    Refusal::TooWeak(_) => Failure::Credential,
                };
                metrics.refused(target.procedure, failure, laps);
                Dispatched::Reply(match refusal {
                    Refusal::GarbageArguments => reply.garbage_arguments(),
                    Refusal::ProcedureUnavailable => reply.procedure_unavailable(),
                    Refusal::TooWeak(reason) => {
                        if peer.is_first_refusal() {
                            log_refusal(&request, service.name(), metrics.name(target.procedure), reason);
                        }
                        reply.auth_error(AuthStatus::TooWeak)
                    }
                })
            }
        }
    }
}

/// Who was refused, from where, what, why. Once for a connection: kernels repeat themselves.
fn log_refusal(request: &Request<'_>, program: &'static str, procedure: &'static str, reason: &'static str) {
    let uid = request.credential.uid();
    let machine = request.credential.machine();
    tracing::info!(
        peer = %request.peer.address, uid, machine = ?machine, program, procedure, reason, "call refused"
    );
}
