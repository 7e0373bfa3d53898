//! The head of a call (RFC 5531 §9).

use super::credential::{Credential, MAX_BODY};
use super::decode::{Decoder, Malformed};

const CALL: u32 = 0;
/// The version of the RPC protocol.
pub(crate) const RPC_VERSION: u32 = 2;

/// The head of a call, up to the procedure's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    /// Chosen by the client; comes back in the reply.
    pub xid: u32,
    /// Program, version and procedure; `None` if the call speaks another RPC version.
    pub target: Option<Target<'a>>,
}

/// What is called, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Program number.
    pub program: u32,
    /// Version of the program.
    pub version: u32,
    /// Procedure of that version.
    pub procedure: u32,
    /// Who calls, or a credential that could not be read.
    pub credential: Result<Credential<'a>, Malformed>,
}

impl<'a> Header<'a> {
    /// Reads the head and leaves the decoder at the arguments.
    ///
    /// # Errors
    /// [`Malformed`] if this is no call: there is nobody to answer.
    #[inline]
    pub(crate) fn read(decoder: &mut Decoder<'a>) -> Result<Header<'a>, Malformed> {
        let xid = decoder.u32()?;
        if decoder.u32()? != CALL {
            return Err(Malformed);
        }
        if decoder.u32()? != RPC_VERSION {
            return Ok(Header { xid, target: None });
        }
        let program = decoder.u32()?;
        let version = decoder.u32()?;
        let procedure = decoder.u32()?;
        let credential = Credential::read(decoder)?;
        let _verifier_flavor = decoder.u32()?;
        let _verifier = decoder.opaque(MAX_BODY)?;
        Ok(Header { xid, target: Some(Target { program, version, procedure, credential }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_rpc_version_is_recognised_before_anything_else_is_read() {
        let bytes = [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(Header::read(&mut Decoder::new(&bytes)), Ok(Header { xid: 7, target: None }));
    }

    #[test]
    fn a_reply_is_no_call() {
        let bytes = [0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
        assert_eq!(Header::read(&mut Decoder::new(&bytes)), Err(Malformed));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::read(&mut Decoder::new(&bytes));
            let mut call = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
            call.extend(bytes);
            let _ = Header::read(&mut Decoder::new(&call));
        }
    }
}
