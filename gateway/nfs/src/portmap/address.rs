//! Universal addresses (RFC 5665 §5.2): `192.0.2.1.8.1` is port 2049 of 192.0.2.1.

use std::net::{IpAddr, SocketAddr};

/// The universal address of a socket address.
pub(super) fn universal(address: SocketAddr) -> String {
    let [high, low] = address.port().to_be_bytes();
    format!("{}.{high}.{low}", address.ip())
}

/// Reads a universal address.
pub(super) fn socket(universal: &str) -> Option<SocketAddr> {
    let (rest, low) = universal.rsplit_once('.')?;
    let (ip, high) = rest.rsplit_once('.')?;
    let ip: IpAddr = ip.parse().ok()?;
    Some(SocketAddr::new(ip, u16::from_be_bytes([high.parse().ok()?, low.parse().ok()?])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ports_are_two_decimal_bytes() {
        assert_eq!(universal("192.0.2.1:2049".parse().unwrap()), "192.0.2.1.8.1");
        assert_eq!(universal("[::1]:111".parse().unwrap()), "::1.0.111");
        assert_eq!(socket("::1.0.111"), Some("[::1]:111".parse().unwrap()));
        assert_eq!(socket("192.0.2.1.8"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ip: std::net::IpAddr, port: u16) {
            let address = SocketAddr::new(ip, port);
            prop_assert_eq!(socket(&universal(address)), Some(address));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,40}") {
            let _ = socket(&text);
        }
    }
}
