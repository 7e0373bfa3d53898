//! Flow ids carry the second in which the server made them (docs/velociraptor-api.md §4.9).

use vfs::Timestamp;

/// When the server made the flow, to the second below; `None` if the id has another shape.
///
/// The id is `F.` and base32 (extended hex alphabet) of eight bytes, of which the first four are the seconds since 1970.
pub(crate) fn started(flow_id: &str) -> Option<Timestamp> {
    let digits = flow_id.strip_prefix("F.")?.get(..13)?;
    let mut bits: u128 = 0;
    for digit in digits.bytes() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'V' => digit - b'A' + 10,
            _ => return None,
        };
        bits = (bits << 5) | u128::from(value);
    }
    // 13 digits hold 65 bits; the 32 highest are the seconds.
    let seconds = i64::try_from(bits >> 33).ok()?;
    Some(Timestamp { seconds, nanos: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_id_tells_when_the_flow_was_made() {
        // The server's own answer for this flow: create_time 1795528426313270 µs.
        assert_eq!(started("F.DC2PDQKDQG1RO"), Some(Timestamp { seconds: 1_795_528_426, nanos: 0 }));
        for other in ["", "F.", "F.DC2PDQKDQG1R", "F.dc2pdqkdqg1ro", "F.DC2PDQKDQG1RÖ", "C.1"] {
            assert_eq!(started(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_id_makes_it_fail(id in "(F\\.)?\\PC{0,20}") {
            started(&id);
        }
    }
}
