//! Times of files: any year from 1 to 9999 with nanoseconds, written as the wire has them (§4.6).

use std::fmt;

/// A moment as seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Stamp {
    /// Go's zero time: not known.
    pub(crate) const UNKNOWN: Self = Self { seconds: -62_135_596_800, nanoseconds: 0 };
    /// The zero of FILETIME.
    pub(crate) const YEAR_1601: Self = Self { seconds: -11_644_473_600, nanoseconds: 0 };
    /// The last second that RFC 3339 can write.
    pub(crate) const YEAR_9999: Self = Self { seconds: 253_402_300_799, nanoseconds: 0 };

    pub(crate) fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self { seconds, nanoseconds: nanoseconds.min(999_999_999) }
    }
}

impl fmt::Display for Stamp {
    /// RFC 3339 in UTC; the fraction only if it is not zero, without trailing zeros.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds.clamp(Self::UNKNOWN.seconds, Self::YEAR_9999.seconds);
        let days = seconds.div_euclid(86_400);
        let second_of_day = seconds.rem_euclid(86_400);
        let (year, month, day) = civil(days);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60
        )?;
        if self.nanoseconds != 0 {
            let digits = format!("{:09}", self.nanoseconds);
            write!(formatter, ".{}", digits.trim_end_matches('0'))?;
        }
        formatter.write_str("Z")
    }
}

/// Year, month, day of a day number (0 = 1970-01-01) in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_measured_server_writes_them() {
        let cases = [
            (Stamp::UNKNOWN, "0001-01-01T00:00:00Z"),
            (Stamp::YEAR_1601, "1601-01-01T00:00:00Z"),
            (Stamp::YEAR_9999, "9999-12-31T23:59:59Z"),
            (Stamp::new(0, 0), "1970-01-01T00:00:00Z"),
            (Stamp::new(-144_590_400, 123_456_789), "1965-06-02T12:00:00.123456789Z"),
            (Stamp::new(1_795_526_517, 182_183_236), "2026-11-24T13:21:57.182183236Z"),
            (Stamp::new(1_795_527_852, 699_627_730), "2026-11-24T13:44:12.69962773Z"),
            (Stamp::new(951_782_400, 0), "2000-02-29T00:00:00Z"),
        ];
        for (stamp, text) in cases {
            assert_eq!(stamp.to_string(), text);
        }
    }
}
