//! Keys in the words of each room.

use std::net::SocketAddr;

use access::Limits;
use vfs::Principal;
use vfs::freshness::FreshnessPolicy;
use vfs::settings::Settings;

use crate::configuration::{GatewayKeys, Offline, Opening, Portmap, Require, Samples};

/// For the model.
pub fn of_model(keys: &GatewayKeys) -> Settings {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let defaults = Settings::default();
    Settings {
        freshness: FreshnessPolicy {
            max_age: keys.max_age,
            max_stale: keys.max_stale,
            copy_max_age: keys.copy_max_age,
            ..defaults.freshness
        },
        listing_memory: bytes(keys.listing_memory),
        content_memory: bytes(keys.content_memory),
        automatic_collection_bytes: keys.automatic_collection,
        ranges_above: keys.ranges_above,
        start_by: keys.start_by,
        queue_offline: (keys.offline == Offline::Queue).then_some(keys.offline_queue_for),
        prefetch: !keys.no_prefetch,
        accessors: keys.accessor.clone(),
        ..defaults
    }
}

/// For the budgets.
pub fn of_admission(keys: &GatewayKeys) -> Limits {
    Limits {
        flows_per_hour: keys.flows_per_hour,
        bytes_per_hour: keys.bytes_per_hour,
        endpoint_bytes_per_day: keys.endpoint_bytes_per_day,
        fan_out: keys.fan_out,
        ..Limits::default()
    }
}

/// What a Linux mount needs as `xprtsec=`.
pub fn xprtsec(keys: &GatewayKeys) -> Option<&'static str> {
    match keys.nfs_require {
        Require::Nothing => None,
        Require::Tls => Some("tls"),
        Require::Certificate => Some("mtls"),
    }
}

/// For NFS.
pub fn of_nfs(keys: &GatewayKeys, principal: Principal, listen: Vec<SocketAddr>) -> nfs::Config {
    nfs::Config {
        listen,
        portmap: match keys.portmap {
            Portmap::Auto => nfs::PortmapMode::Auto,
            Portmap::Own => nfs::PortmapMode::Own,
            Portmap::Register => nfs::PortmapMode::Register,
            Portmap::Off => nfs::PortmapMode::Off,
        },
        hold: keys.nfs_hold,
        loopback_any: keys.nfs_any_process,
        peers: keys.nfs_client.clone(),
        principal,
        tls: keys.nfs_certificate.clone().zip(keys.nfs_key.clone()).map(|(certificate, key)| nfs::TlsFiles {
            certificate,
            key,
            client_ca: keys.nfs_client_ca.clone(),
        }),
        require: match keys.nfs_require {
            Require::Nothing => nfs::Require::Nothing,
            Require::Tls => nfs::Require::Tls,
            Require::Certificate => nfs::Require::Certificate,
        },
        require_tls_for: keys.nfs_require_tls_for.clone(),
        ..nfs::Config::default()
    }
}

/// For WebDAV, as far as the keys say all of it.
pub fn of_webdav(keys: &GatewayKeys, principal: Principal) -> webdav::Config {
    webdav::Config {
        hosts: keys.host.clone(),
        hold: keys.webdav_hold,
        not_listed_marker: !keys.no_davfs2_marker,
        offline_attribute: keys.windows_offline_attribute,
        windows_limits_raised: keys.windows_limits_raised,
        opening: match keys.webdav_opening {
            Opening::Collects => webdav::Opening::Collects,
            Opening::Manual => webdav::Opening::Manual,
        },
        samples: match keys.samples {
            Samples::Packed => webdav::Samples::Packed,
            Samples::Raw => webdav::Samples::Raw,
        },
        macos_markers: !keys.no_macos_markers,
        tls: keys.webdav_certificate.clone().zip(keys.webdav_key.clone()).map(|(certificate, key)| webdav::TlsFiles {
            certificate,
            key,
            client_ca: None,
        }),
        ..webdav::Config::new(principal)
    }
}
