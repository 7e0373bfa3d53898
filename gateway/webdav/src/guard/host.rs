//! The `Host` check: a page of another site that resolves its name to this address must get nothing (D3).

use std::net::IpAddr;

/// Whether a `Host` value may be served: loopback names and addresses, the address of this socket, and configured names.
///
/// An address is safe where a name is not: a page's origin is a name that its owner controls, never our address.
pub(crate) fn is_allowed(host: &str, local: Option<IpAddr>, configured: &[String]) -> bool {
    let Some(name) = name_of(host) else { return false };
    if name.eq_ignore_ascii_case("localhost") || configured.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return true;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok_and(|address| {
        let address = address.to_canonical();
        address.is_loopback() || local.is_some_and(|local| local.to_canonical() == address)
    })
}

/// The name without the port; `None` if it is malformed.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            (host.get(..end)?, host.get(end..)?)
        }
        None => match host.find(':') {
            Some(colon) => (host.get(..colon)?, host.get(colon..)?),
            None => (host, ""),
        },
    };
    let port_is_good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|digit| digit.is_ascii_digit()),
    };
    (port_is_good && !name.is_empty()).then_some(name.strip_suffix('.').unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_configured_names_pass_and_others_do_not() {
        let configured = ["gateway.example".to_owned()];
        let local = Some("10.0.0.5".parse().unwrap());
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:80",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:8080",
            "[::1]",
            "gateway.example",
            "Gateway.Example:443",
            "10.0.0.5:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_allowed(good, local, &configured), "{good}");
        }
        for bad in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.6",
            "127.0.0.1.evil.example",
            "localhost:80:80",
            "[::1",
            "gateway.example@evil",
            "localhost:port",
            "::1:x",
            "0.0.0.0",
        ] {
            assert!(!is_allowed(bad, local, &configured), "{bad}");
        }
    }
}
