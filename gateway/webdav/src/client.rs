//! Classes of clients by their User-Agent: what each bears and how names are spelled for it (docs/webdav-clients.md §2).

use std::time::Duration;

use vfs::Profile;

/// A client that is known to need its own treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClientClass {
    /// Windows' WebClient service: mapped drives and Explorer.
    MiniRedir,
    /// macOS: Finder and `mount_webdav`.
    WebDavFs,
    /// davfs2 on Linux.
    Davfs2,
    /// GNOME Files and `gio`.
    Gvfs,
    /// rclone.
    Rclone,
    /// cadaver.
    Cadaver,
    /// curl and wget: people at a terminal, and scripts.
    Curl,
    /// A web browser.
    Browser,
    /// Everybody else.
    Other,
}

const MINI_REDIR_HOLD: Duration = Duration::from_secs(50);
const WEB_DAV_FS_HOLD: Duration = Duration::from_secs(60);
const DAVFS2_HOLD: Duration = Duration::from_secs(25);
/// Long enough for what needs no endpoint, short enough to feel immediate.
const BROWSER_HOLD: Duration = Duration::from_millis(250);

impl ClientClass {
    /// The class that a User-Agent header tells.
    pub(crate) fn from_user_agent(agent: Option<&str>) -> ClientClass {
        let Some(agent) = agent else { return ClientClass::Other };
        let known = [
            ("Microsoft-WebDAV-MiniRedir", ClientClass::MiniRedir),
            ("WebDAVFS", ClientClass::WebDavFs),
            ("WebDAVLib", ClientClass::WebDavFs),
            ("davfs2", ClientClass::Davfs2),
            ("gvfs", ClientClass::Gvfs),
            ("rclone", ClientClass::Rclone),
            ("cadaver", ClientClass::Cadaver),
            ("curl", ClientClass::Curl),
            ("Wget", ClientClass::Curl),
            ("Mozilla", ClientClass::Browser),
        ];
        known
            .into_iter()
            .find(|(prefix, _)| agent.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
            .map_or(ClientClass::Other, |(_, class)| class)
    }

    /// How long an answer may be held back (docs/webdav-clients.md §2.7); `patient` is for clients that bear minutes.
    pub(crate) fn hold(self, patient: Duration) -> Duration {
        match self {
            ClientClass::MiniRedir => patient.min(MINI_REDIR_HOLD),
            ClientClass::WebDavFs => patient.min(WEB_DAV_FS_HOLD),
            ClientClass::Davfs2 => patient.min(DAVFS2_HOLD),
            ClientClass::Browser => patient.min(BROWSER_HOLD),
            _ => patient,
        }
    }

    /// How names are spelled for it.
    pub(crate) fn profile(self) -> Profile {
        match self {
            ClientClass::MiniRedir => Profile::Windows,
            ClientClass::WebDavFs => Profile::Mac,
            _ => Profile::Posix,
        }
    }

    /// What it opens may be run by the workstation, or was opened by nobody but the workstation (D25).
    pub(crate) fn opens_by_itself(self) -> bool {
        matches!(self, ClientClass::MiniRedir | ClientClass::WebDavFs)
    }

    /// Opens whatever it shows, to draw a preview of it (D39).
    pub(crate) fn opens_in_bursts(self) -> bool {
        matches!(self, ClientClass::MiniRedir | ClientClass::WebDavFs | ClientClass::Gvfs)
    }

    /// Probes for file names of its own all the time (D12).
    pub(crate) fn is_noisy(self) -> bool {
        matches!(self, ClientClass::MiniRedir | ClientClass::WebDavFs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_known_by_the_user_agent_it_sends() {
        let sent = [
            ("Microsoft-WebDAV-MiniRedir/10.0.19045", ClientClass::MiniRedir),
            ("WebDAVFS/3.0.0 (03008000) Darwin/23.1.0 (arm64)", ClientClass::WebDavFs),
            ("WebDAVLib/1.3", ClientClass::WebDavFs),
            ("davfs2/1.6.1 neon/0.32.2", ClientClass::Davfs2),
            ("gvfs/1.50.3", ClientClass::Gvfs),
            ("rclone/v1.60.1-DEV", ClientClass::Rclone),
            ("cadaver/0.24 neon/0.32.2", ClientClass::Cadaver),
            ("curl/7.88.1", ClientClass::Curl),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", ClientClass::Browser),
            ("Python-webdav4", ClientClass::Other),
            ("", ClientClass::Other),
        ];
        for (agent, class) in sent {
            assert_eq!(ClientClass::from_user_agent(Some(agent)), class, "{agent}");
        }
        assert_eq!(ClientClass::from_user_agent(None), ClientClass::Other);
    }

    #[test]
    fn nobody_is_held_longer_than_it_bears_or_than_is_configured() {
        let patient = Duration::from_secs(300);
        assert_eq!(ClientClass::Davfs2.hold(patient), Duration::from_secs(25));
        assert_eq!(ClientClass::MiniRedir.hold(patient), Duration::from_secs(50));
        assert_eq!(ClientClass::WebDavFs.hold(patient), Duration::from_secs(60));
        assert_eq!(ClientClass::Rclone.hold(patient), patient);
        assert!(ClientClass::Browser.hold(patient) < Duration::from_secs(1));
        assert_eq!(ClientClass::Davfs2.hold(Duration::from_secs(3)), Duration::from_secs(3));
    }
}
