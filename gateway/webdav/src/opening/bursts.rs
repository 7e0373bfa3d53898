//! Bursts (D39): Explorer, Finder and GNOME Files open every file that they show to draw a preview of it. Five different files of one
//! folder that were never collected, within two seconds, are taken for that, and nothing more is collected from that folder for that
//! client for a while. Who copies files one after another waits for each, and is not meant.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vfs::Node;
use vfs::node::Identity;

use crate::client::ClientClass;
use crate::exchange::Exchange;

/// Different files.
const FILES: usize = 5;
/// Within this time.
const WINDOW: Duration = Duration::from_secs(2);
/// Time in which nothing more is collected then.
pub(super) const REFUSED: Duration = Duration::from_secs(30);
/// Folders that are watched at most.
const FOLDERS: usize = 4_096;

/// One client in one folder.
type Place = (Option<IpAddr>, ClientClass, u64, Identity);

/// Who opened what lately.
#[derive(Default)]
pub(super) struct Bursts {
    places: Mutex<HashMap<Place, Watched>>,
}

#[derive(Default)]
struct Watched {
    opened: VecDeque<(Instant, Identity)>,
    refused_until: Option<Instant>,
}

impl Watched {
    fn is_over(&self, now: Instant) -> bool {
        self.refused_until.is_none_or(|until| until <= now)
            && self.opened.back().is_none_or(|(last, _)| now - *last > WINDOW)
    }

    fn notes(&mut self, file: Identity, now: Instant) -> bool {
        if self.refused_until.is_some_and(|until| now < until) {
            return true;
        }
        while self.opened.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.opened.pop_front();
        }
        if self.opened.iter().all(|(_, known)| *known != file) {
            self.opened.push_back((now, file));
        }
        if self.opened.len() < FILES {
            return false;
        }
        self.opened.clear();
        self.refused_until = Some(now + REFUSED);
        true
    }
}

impl Bursts {
    /// Notes that a file that was never collected is being opened; whether this belongs to a burst.
    pub(super) fn is_one(&self, exchange: &Exchange, file: &Node) -> bool {
        let place = (exchange.peer, exchange.class, file.export, file.parent);
        self.note(place, file.own, Instant::now())
    }

    fn note(&self, place: Place, file: Identity, now: Instant) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= FOLDERS {
            places.retain(|_, watched| !watched.is_over(now));
        }
        if places.len() >= FOLDERS && !places.contains_key(&place) {
            return true; // nobody opens files of so many folders at once
        }
        places.entry(place).or_default().notes(file, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: u128) -> Place {
        (None, ClientClass::MiniRedir, 1, Identity(folder))
    }

    #[tokio::test(start_paused = true)]
    async fn the_fifth_file_within_two_seconds_is_a_burst_and_the_folder_recovers() {
        let bursts = Bursts::default();
        let opened = |file: u128| bursts.note(place(1), Identity(file), Instant::now());
        for file in 0..4 {
            assert!(!opened(file));
            assert!(!opened(file), "the same file again is no other one");
        }
        assert!(opened(4));
        assert!(opened(0), "nothing of the folder");
        assert!(!bursts.note(place(2), Identity(0), Instant::now()), "another folder is another matter");
        tokio::time::advance(REFUSED).await;
        assert!(!opened(0));
    }

    #[tokio::test(start_paused = true)]
    async fn files_one_after_another_are_no_burst() {
        let bursts = Bursts::default();
        for file in 0..50 {
            assert!(!bursts.note(place(1), Identity(file), Instant::now()));
            tokio::time::advance(Duration::from_millis(600)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let bursts = Bursts::default();
        for folder in 0..FOLDERS as u128 + 10 {
            let refused = bursts.note(place(folder), Identity(0), Instant::now());
            assert_eq!(refused, folder >= FOLDERS as u128);
        }
        tokio::time::advance(WINDOW * 2).await;
        assert!(!bursts.note(place(9_999_999), Identity(0), Instant::now()));
        assert_eq!(bursts.places.lock().unwrap().len(), 1);
    }
}
