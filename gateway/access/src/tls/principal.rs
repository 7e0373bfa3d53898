//! Whom a certificate names: the common name of its subject, else its first DNS name, else its first URI.
//!
//! The certificate was verified before, so what is read here was written by our own CA; it is read as if it were not.

use rustls::pki_types::CertificateDer;
use vfs::Principal;
use webpki::EndEntityCert;

/// A name is for the ledger and for people.
const LONGEST: usize = 128;
/// `2.5.4.3`
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The principal that a certificate names, if it names one that can be written down.
pub fn named_by(certificate: &CertificateDer<'_>) -> Option<Principal> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let name = common_name(certificate.subject()).or_else(|| certificate.valid_dns_names().next());
    let name = name.or_else(|| certificate.valid_uri_names().next())?;
    is_usable(name).then(|| Principal::new(name))
}

fn is_usable(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control)
}

/// The common name in an RDNSequence (RFC 5280 §4.1.2.4). A subject with several names nobody for certain.
fn common_name(mut names: &[u8]) -> Option<&str> {
    let mut found = None;
    while !names.is_empty() {
        let mut set = expect(SET, &mut names)?;
        while !set.is_empty() {
            let mut attribute = expect(SEQUENCE, &mut set)?;
            let kind = expect(OBJECT_IDENTIFIER, &mut attribute)?;
            let (tag, value) = item(&mut attribute)?;
            if kind != COMMON_NAME {
                continue;
            }
            let text = match tag {
                UTF8_STRING => std::str::from_utf8(value).ok()?,
                PRINTABLE_STRING | IA5_STRING if value.is_ascii() => std::str::from_utf8(value).ok()?,
                _ => return None,
            };
            if found.replace(text).is_some() {
                return None;
            }
        }
    }
    found
}

fn expect<'a>(tag: u8, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    item(bytes).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// Takes one DER item: its tag and its content.
fn item<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let ([tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk::<2>().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((*tag, content))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn name(common_names: &[&str], alternatives: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        for common_name in common_names {
            params.distinguished_name.push(DnType::CommonName, *common_name);
        }
        params.subject_alt_names = alternatives;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        named_by(certificate.der()).map(|principal| principal.name().to_owned())
    }

    #[test]
    fn the_common_name_comes_first_then_dns_names_then_uris() {
        let dns = SanType::DnsName("desk.example".try_into().unwrap());
        let uri = SanType::URI("spiffe://example/alice".try_into().unwrap());
        assert_eq!(name(&["Alice Ä"], vec![dns.clone()]).as_deref(), Some("Alice Ä"));
        assert_eq!(name(&[], vec![uri.clone(), dns]).as_deref(), Some("desk.example"));
        assert_eq!(name(&[], vec![uri]).as_deref(), Some("spiffe://example/alice"));
        assert_eq!(name(&[], Vec::new()), None);
    }

    #[test]
    fn a_name_that_cannot_be_written_down_names_nobody() {
        for wrong in ["a\nb", " ", &"x".repeat(LONGEST + 1)] {
            assert_eq!(name(&[wrong], Vec::new()), None, "{wrong:?}");
        }
        let alice = [SET, 12, SEQUENCE, 10, OBJECT_IDENTIFIER, 3, 0x55, 4, 3, UTF8_STRING, 3, b'a', b'b', b'c'];
        assert_eq!(common_name(&alice), Some("abc"));
        assert_eq!(common_name(&[alice, alice].concat()), None, "two common names");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = common_name(&bytes);
            let _ = named_by(&CertificateDer::from(bytes));
        }

        #[test]
        fn an_altered_subject_never_panics(at in 0usize..14, byte: u8) {
            let mut alice = [SET, 12, SEQUENCE, 10, OBJECT_IDENTIFIER, 3, 0x55, 4, 3, UTF8_STRING, 3, b'a', b'b', b'c'];
            alice[at] = byte;
            let _ = common_name(&alice);
        }
    }
}
