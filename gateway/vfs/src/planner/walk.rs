//! Recognising a walk (`find`, `cp -r`, a sync program) by its misses: each comes right after the answer to the one before, which no
//! person does. What is asked side by side is one step of a walk, however much it is. From the third step on, or the second if it goes
//! down sooner than anybody can read, one deep listing goes ahead of the walker.

use std::sync::Arc;

use dashmap::DashMap;

use crate::pace::Pace;
use crate::path::EndpointPath;
use crate::timestamp::Timestamp;

/// So many steps in a row make a walk.
const STEPS: u32 = 3;
const WALKERS_KEPT: usize = 10_000;

/// Who walks where: export, and a hash of the principal's name.
type Walker = (u64, u64);

/// The misses of everybody.
#[derive(Default)]
pub(crate) struct Walks {
    streaks: DashMap<Walker, Streak>,
}

/// Misses one right after the other.
struct Streak {
    steps: u32,
    /// An answer was given since the last step.
    answered: bool,
    /// The deepest directory that holds all of them.
    above: EndpointPath,
    pace: Pace,
    /// When he was last seen in the tree.
    seen: Timestamp,
    /// The deep listing that goes ahead of him.
    ahead: Option<Arc<super::ahead::Ahead>>,
}

fn walker(export: u64, principal: &str) -> Walker {
    (export, xxhash_rust::xxh3::xxh3_64(principal.as_bytes()))
}

impl Walks {
    /// Notes that `principal` wants a directory that was never listed. `Some` when that makes it a walk without a listing ahead: the
    /// deepest directory that holds all of the walk so far. A walk does not go beyond what is `allowed` to be listed ahead (D13): a
    /// new one begins there.
    pub(super) fn miss(
        &self,
        export: u64,
        principal: &str,
        directory: &EndpointPath,
        allowed: impl Fn(&EndpointPath) -> bool,
        now: Timestamp,
    ) -> Option<EndpointPath> {
        if self.streaks.len() > WALKERS_KEPT {
            self.streaks.retain(|_, streak| streak.pace.waiting() > 0 || streak.ahead.is_some());
        }
        let mut streak = self.streaks.entry(walker(export, principal)).or_insert_with(|| Streak::new(directory, now));
        let above =
            common_ancestor(&streak.above, directory).filter(|above| streak.pace.goes_on(now) && allowed(above));
        // Down into what was answered just now.
        let descends = above.as_ref().is_some_and(|above| *above == streak.above && above != directory);
        let at_once = streak.steps > 0 && descends && streak.pace.goes_on_at_once(now);
        (streak.steps, streak.above) = match above {
            Some(above) => (streak.steps + u32::from(streak.answered || streak.steps == 0), above),
            None => (1, directory.clone()),
        };
        streak.answered = false;
        streak.pace.ask();
        streak.seen = now;
        ((streak.steps >= STEPS || at_once) && streak.ahead.is_none()).then(|| streak.above.clone())
    }

    /// Notes that `principal` has a file collected: a walker who copies is busy meanwhile. Whether its end is to be noted too.
    pub(crate) fn busy(&self, export: u64, principal: &str, now: Timestamp) -> bool {
        let Some(mut streak) = self.streaks.get_mut(&walker(export, principal)) else {
            return false;
        };
        streak.seen = now;
        let goes_on = streak.pace.goes_on(now);
        if goes_on {
            streak.pace.ask();
        }
        goes_on
    }

    /// Notes that the answer to a miss, or what kept the walker busy, is there.
    pub(crate) fn answered(&self, export: u64, principal: &str, now: Timestamp) {
        if let Some(mut streak) = self.streaks.get_mut(&walker(export, principal)) {
            streak.pace.answer(now);
            streak.answered = true;
            streak.seen = now;
        }
    }

    /// Whether `principal` waits for several answers there: no person does.
    pub(super) fn asks_side_by_side(&self, export: u64, principal: &str) -> bool {
        self.streaks.get(&walker(export, principal)).is_some_and(|streak| streak.pace.waiting() > 1)
    }

    /// Notes that `principal` looked at something that is cached: a walker is still there.
    pub(crate) fn visit(&self, export: u64, principal: &str, now: Timestamp) {
        if self.streaks.is_empty() {
            return;
        }
        if let Some(mut streak) = self.streaks.get_mut(&walker(export, principal)) {
            // A cached answer is given at once: whoever goes from one to the next goes at a walker's pace.
            streak.pace.answer_at_once(now);
            streak.seen = now;
        }
    }

    /// Whether `principal` walks there behind a deep listing now.
    pub(crate) fn is_walking(&self, export: u64, principal: &str) -> bool {
        self.streaks.get(&walker(export, principal)).is_some_and(|streak| streak.ahead.is_some())
    }

    /// When the walker was last seen.
    pub(super) fn seen(&self, export: u64, principal: &str) -> Option<Timestamp> {
        self.streaks.get(&walker(export, principal)).map(|streak| streak.seen)
    }

    /// A deep listing goes ahead of the walker; false if one does already.
    pub(super) fn set_ahead(&self, export: u64, principal: &str, ahead: &Arc<super::ahead::Ahead>) -> bool {
        match self.streaks.get_mut(&walker(export, principal)) {
            Some(mut streak) if streak.ahead.is_none() => {
                streak.ahead = Some(ahead.clone());
                true
            }
            _ => false,
        }
    }

    /// The deep listing that goes ahead of the walker is over.
    pub(super) fn end_ahead(&self, export: u64, principal: &str) {
        if let Some(mut streak) = self.streaks.get_mut(&walker(export, principal)) {
            streak.ahead = None;
        }
    }

    /// A deep listing, of whomever, that will bring `directory`; and whether it is this principal's own.
    pub(super) fn bringing(
        &self,
        export: u64,
        principal: &str,
        directory: &EndpointPath,
    ) -> Option<(Arc<super::ahead::Ahead>, bool)> {
        let me = walker(export, principal);
        let brings = |streak: &Streak| streak.ahead.clone().filter(|ahead| ahead.brings(directory));
        if let Some(ahead) = self.streaks.get(&me).and_then(|streak| brings(&streak)) {
            return Some((ahead, true));
        }
        let others = self.streaks.iter().filter(|streak| streak.key().0 == export);
        others.filter_map(|streak| brings(&streak)).next().map(|ahead| (ahead, false))
    }
}

impl Streak {
    fn new(directory: &EndpointPath, now: Timestamp) -> Streak {
        Streak { steps: 0, answered: false, above: directory.clone(), pace: Pace::new(now), seen: now, ahead: None }
    }
}

/// The deepest directory that holds both, or is one of them; `None` in different accessors.
fn common_ancestor(one: &EndpointPath, other: &EndpointPath) -> Option<EndpointPath> {
    if one.endpoint != other.endpoint || one.accessor != other.accessor {
        return None;
    }
    let common = one.components.iter().zip(other.components.iter()).take_while(|(a, b)| a == b).count();
    Some(EndpointPath { components: one.components[..common].into(), ..one.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::EndpointId;

    fn path(components: &[&str]) -> EndpointPath {
        components.iter().fold(EndpointPath::accessor_root(EndpointId::root_org("C.1"), "auto"), |path, name| {
            path.child(name).unwrap()
        })
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::new(1_000 + millis / 1_000, u32::try_from(millis % 1_000).unwrap() * 1_000_000)
    }

    /// Misses at these times, each answered a second later: where the walk was recognised, after how many.
    fn walk(pause: i64, places: &[&[&str]]) -> Option<(usize, EndpointPath)> {
        let walks = Walks::default();
        let mut now = 0;
        for (number, place) in places.iter().enumerate() {
            if let Some(above) = walks.miss(1, "me", &path(place), |above| !above.components.is_empty(), at(now)) {
                return Some((number + 1, above));
            }
            now += 1_000;
            walks.answered(1, "me", at(now));
            now += pause;
        }
        None
    }

    #[test]
    fn three_steps_in_a_row_are_a_walk_below_what_holds_them() {
        let found = walk(500, &[&["srv", "a"], &["srv", "a", "1"], &["srv", "a", "1", "x"]]);
        assert_eq!(found, Some((3, path(&["srv", "a"]))));
        let found = walk(5, &[&["srv", "a"], &["srv", "b"], &["srv", "c"]]);
        assert_eq!(found, Some((3, path(&["srv"]))));
    }

    #[test]
    fn who_goes_down_sooner_than_he_can_read_walks() {
        let found = walk(5, &[&["srv", "a"], &["srv", "a", "1", "x"]]);
        assert_eq!(found, Some((2, path(&["srv", "a"]))));
        assert_eq!(walk(500, &[&["srv", "a"], &["srv", "a", "1", "x"]]), None);
        assert_eq!(walk(5, &[&["srv", "a"], &["srv", "b"]]), None, "beside it, not below");
    }

    #[test]
    fn what_is_asked_side_by_side_is_one_step() {
        let walks = Walks::default();
        let miss = |name: &str, now| walks.miss(1, "me", &path(&["srv", name]), |_| true, at(now));
        for name in 0..20 {
            assert_eq!(miss(&name.to_string(), name), None);
        }
        assert!(walks.asks_side_by_side(1, "me"));
        walks.answered(1, "me", at(1_000));
        assert_eq!(miss("20", 1_010), None, "the second");
        walks.answered(1, "me", at(1_020));
        assert_eq!(miss("21", 1_030), Some(path(&["srv"])));
    }

    #[test]
    fn unrelated_places_are_no_walk() {
        assert_eq!(walk(5, &[&["srv", "a"], &["tmp", "b"], &["home", "c"], &["srv", "d"], &["tmp", "e"]]), None);
        let found = walk(5, &[&["srv", "a"], &["tmp", "b"], &["tmp", "c"], &["tmp", "d"]]);
        assert_eq!(found, Some((4, path(&["tmp"]))));
    }

    #[test]
    fn a_person_is_no_walk_however_deep_he_goes() {
        let places: Vec<Vec<String>> = (1..20).map(|depth| (0..depth).map(|n| format!("d{n}")).collect()).collect();
        let places: Vec<Vec<&str>> = places.iter().map(|place| place.iter().map(String::as_str).collect()).collect();
        let places: Vec<&[&str]> = places.iter().map(Vec::as_slice).collect();
        assert_eq!(walk(2_000, &places), None);
    }

    #[test]
    fn one_walker_does_not_make_another_one() {
        let walks = Walks::default();
        for (number, name) in ["a", "b", "c", "d"].iter().enumerate() {
            let who = if number % 2 == 0 { "me" } else { "you" };
            assert_eq!(walks.miss(1, who, &path(&["srv", name]), |_| true, at(0)), None);
        }
    }
}
