//! Rules that say which client is at an address: `192.0.2.0/24=windows`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::PeerKind;

/// Peers of a network are of one kind, whatever they do on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRule {
    network: IpAddr,
    prefix: u8,
    kind: PeerKind,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("NETWORK=KIND is wanted, with linux, macos or windows, such as 192.0.2.0/24=windows or 2001:db8::7=macos")]
pub struct BadRule;

impl PeerRule {
    pub(crate) fn kind(&self) -> PeerKind {
        self.kind
    }

    pub(crate) fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the address (IPv4 as IPv4) is in the network.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        let family = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 4),
            IpAddr::V6(address) => (u128::from(address), 6),
        };
        let ((one, version), (other, of)) = (family(self.network), family(address));
        let differing = (one ^ other).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0);
        version == of && differing == 0
    }
}

impl FromStr for PeerRule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<PeerRule, BadRule> {
        let (network, kind) = text.split_once('=').ok_or(BadRule)?;
        let kind = kind.trim().parse().ok().filter(|kind| *kind != PeerKind::Unknown).ok_or(BadRule)?;
        let (address, prefix) = match network.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| BadRule)?)),
            None => (network.trim(), None),
        };
        let network: IpAddr = address.parse().map_err(|_| BadRule)?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest {
            return Err(BadRule);
        }
        Ok(PeerRule { network, prefix, kind })
    }
}

impl fmt::Display for PeerRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = self.prefix == if self.network.is_ipv4() { 32 } else { 128 };
        match is_one {
            true => write!(formatter, "{}={}", self.network, self.kind),
            false => write!(formatter, "{}/{}={}", self.network, self.prefix, self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_covers_its_own_addresses_and_no_other_family() {
        let covers = |rule: &str, address: &str| rule.parse::<PeerRule>().unwrap().covers(address.parse().unwrap());
        assert!(covers("192.0.2.0/24=windows", "192.0.2.255") && !covers("192.0.2.0/24=windows", "192.0.3.0"));
        assert!(covers("192.0.2.7=linux", "192.0.2.7") && !covers("192.0.2.7=linux", "192.0.2.6"));
        assert!(covers("0.0.0.0/0=linux", "203.0.113.9") && !covers("0.0.0.0/0=linux", "::1"));
        assert!(covers("::/0=macos", "::1") && !covers("::/0=macos", "127.0.0.1"));
        assert!(
            covers("2001:db8::/33=macos", "2001:db8:7fff::1") && !covers("2001:db8::/33=macos", "2001:db8:8000::1")
        );
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in [
            "",
            "windows",
            "192.0.2.1",
            "192.0.2.1=",
            "192.0.2.1/33=linux",
            "::/129=linux",
            "x/8=linux",
            "::1=unknown",
            "::1=beos",
        ] {
            assert_eq!(wrong.parse::<PeerRule>(), Err(BadRule), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_rule_is_written_as_it_is_read(bits in any::<u128>(), prefix in 0u8..=128, is_v4 in any::<bool>()) {
            #[allow(clippy::cast_possible_truncation)]
            let network = if is_v4 { IpAddr::from((bits as u32).to_be_bytes()) } else { IpAddr::from(bits.to_be_bytes()) };
            let prefix = if is_v4 { prefix / 4 } else { prefix };
            let rule = PeerRule { network, prefix, kind: PeerKind::Macos };
            prop_assert_eq!(rule.to_string().parse::<PeerRule>().unwrap(), rule);
            prop_assert!(rule.covers(network));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[0-9a-f:./= linuxmacoswindows]{0,40}") {
            let _ = text.parse::<PeerRule>();
        }
    }
}
