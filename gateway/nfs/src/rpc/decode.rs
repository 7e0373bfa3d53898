//! A bounded XDR decoder (RFC 4506) that borrows from the record.

/// The bytes do not follow the description of the procedure's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed XDR")]
pub(crate) struct Malformed;

/// Reads XDR items from the front of a record. Nothing is copied; every variable length is checked against the caller's limit and
/// against what is left before anything is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// A decoder of these bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { rest: bytes }
    }

    /// Bytes not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`Malformed`] if the record ends before.
    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<4>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*head))
    }

    /// An unsigned hyper integer.
    ///
    /// # Errors
    /// [`Malformed`] if the record ends before.
    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<8>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(u64::from_be_bytes(*head))
    }

    /// A boolean: 0 or 1.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    #[inline]
    pub(crate) fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Fixed-length opaque data.
    ///
    /// # Errors
    /// [`Malformed`] if the record ends before.
    #[inline]
    pub(crate) fn fixed(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let padded = length.checked_next_multiple_of(4).ok_or(Malformed)?;
        if padded > self.rest.len() {
            return Err(Malformed);
        }
        let (item, rest) = self.rest.split_at(padded);
        self.rest = rest;
        item.get(..length).ok_or(Malformed)
    }

    /// Variable-length opaque data or a string of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Malformed`] if it is longer, or the record ends before.
    #[inline]
    pub(crate) fn opaque(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        if length > limit {
            return Err(Malformed);
        }
        self.fixed(length)
    }

    /// A string that has to be UTF-8.
    ///
    /// # Errors
    /// [`Malformed`] if it is not, or as [`Decoder::opaque`].
    pub(crate) fn text(&mut self, limit: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.opaque(limit)?).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn items_follow_each_other_with_padding() {
        let mut decoder = Decoder::new(&[0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(decoder.text(3).unwrap(), "abc");
        assert!(decoder.boolean().unwrap());
        assert_eq!(decoder.u64().unwrap(), 9);
        assert_eq!(decoder.u32(), Err(Malformed));
    }

    #[test]
    fn a_length_beyond_the_limit_is_malformed_even_if_the_bytes_are_there() {
        assert_eq!(Decoder::new(&[0, 0, 0, 4, 1, 2, 3, 4]).opaque(3), Err(Malformed));
        assert_eq!(Decoder::new(&[0xff; 64]).opaque(usize::MAX), Err(Malformed));
        assert_eq!(Decoder::new(&[0, 0, 0, 2]).boolean(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_give_more_than_they_have(bytes in proptest::collection::vec(any::<u8>(), 0..200), limit in 0usize..300) {
            let mut decoder = Decoder::new(&bytes);
            while let Ok(item) = decoder.opaque(limit) {
                prop_assert!(item.len() <= limit && item.len() <= bytes.len());
            }
            prop_assert!(decoder.remaining() <= bytes.len());
        }
    }
}
