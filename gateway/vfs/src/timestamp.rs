//! A point in time with nanoseconds, over the whole range that listings carry (years 1 to 9999).

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970-01-01T00:00:00Z (negative before it) and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds since the epoch, rounded down.
    pub seconds: i64,
    /// Nanoseconds within the second, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// A time from seconds and nanoseconds; surplus nanoseconds are carried.
    pub fn new(seconds: i64, nanos: u32) -> Timestamp {
        Timestamp { seconds: seconds.saturating_add(i64::from(nanos / 1_000_000_000)), nanos: nanos % 1_000_000_000 }
    }

    /// From microseconds since the epoch, the unit of most of the server's own times (docs/velociraptor-api.md §6.2).
    pub fn from_micros(micros: u64) -> Timestamp {
        let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
        Timestamp { seconds, nanos }
    }

    /// Reads RFC 3339 text. `0001-01-01T00:00:00Z`, the server's "not known", gives `None` (docs/velociraptor-api.md §4.6),
    /// and so does text that is no time.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let time = Timestamp { seconds: parsed.unix_timestamp(), nanos: parsed.nanosecond() };
        (time.seconds != UNKNOWN_SECONDS || time.nanos != 0).then_some(time)
    }

    /// Reads what [`Timestamp::to_rfc3339`] writes, every time included.
    fn parse_written(text: &str) -> Option<Timestamp> {
        if let Some(rest) = text.strip_prefix('@') {
            let (seconds, nanos) = rest.split_once('.')?;
            return Some(Timestamp::new(seconds.parse().ok()?, nanos.parse().ok()?));
        }
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Timestamp { seconds: parsed.unix_timestamp(), nanos: parsed.nanosecond() })
    }

    /// RFC 3339 text in UTC; times outside the years 0 to 9999 give seconds since the epoch instead.
    pub fn to_rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp(self.seconds)
            .ok()
            .and_then(|time| time.replace_nanosecond(self.nanos).ok())
            .and_then(|time| time.format(&Rfc3339).ok())
            .unwrap_or_else(|| format!("@{}.{:09}", self.seconds, self.nanos))
    }

    /// Time elapsed since `earlier`; zero if `earlier` is later than `self`.
    pub fn since(self, earlier: Timestamp) -> Duration {
        let nanos = self.total_nanos().saturating_sub(earlier.total_nanos()).max(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// This time plus `duration`.
    pub fn plus(self, duration: Duration) -> Timestamp {
        let nanos = self.nanos + duration.subsec_nanos();
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Timestamp::new(self.seconds.saturating_add(seconds), nanos)
    }

    fn total_nanos(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Timestamp::parse_written(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

/// 0001-01-01T00:00:00Z, Go's zero time.
const UNKNOWN_SECONDS: i64 = -62_135_596_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_1601_and_9999_keep_their_nanoseconds() {
        for text in ["1601-01-01T00:00:00.0000001Z", "9999-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.5Z"] {
            let time = Timestamp::parse_rfc3339(text).unwrap();
            assert_eq!(time.to_rfc3339(), text);
        }
    }

    #[test]
    fn every_time_survives_json() {
        for (seconds, nanos) in
            [(0, 0), (UNKNOWN_SECONDS, 0), (i64::MIN, 999_999_999), (i64::MAX, 1), (-1, 5), (1_700_000_000, 120)]
        {
            let time = Timestamp { seconds, nanos };
            let text = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), time, "{text}");
        }
    }

    #[test]
    fn the_zero_time_is_unknown() {
        assert_eq!(Timestamp::parse_rfc3339("0001-01-01T00:00:00Z"), None);
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn elapsed_time_is_never_negative() {
        let early = Timestamp::new(-5, 999_999_999);
        let late = Timestamp::new(3, 0);
        assert_eq!(late.since(early), Duration::new(7, 1));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::new(7, 1)), late);
    }
}
