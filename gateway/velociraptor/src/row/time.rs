//! RFC 3339 times of listings (docs/velociraptor-api.md §4.6), read fast: a big listing has hundreds of thousands of them.

use vfs::Timestamp;

/// Reads a time; `None` for "not known" (year 1) and for text that is no time.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    match utc(text.as_bytes()) {
        Some(time) => (time != ZERO).then_some(time),
        None => Timestamp::parse_rfc3339(text),
    }
}

/// Go's zero time.
const ZERO: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

/// The shape that servers write: `2026-11-24T13:21:57.182183236Z`, with no or up to nine digits of the second.
fn utc(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(19)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = *date else {
        return None;
    };
    let year = digits(&[y1, y2, y3, y4])?;
    let (month, day) = (digits(&[m1, m2])?, digits(&[d1, d2])?);
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[n1, n2])?, digits(&[s1, s2])?);
    // A leap second, and what no calendar has, is left to the general reader.
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match rest {
        [b'Z'] => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            let missing = u32::try_from(9 - fraction.len()).ok()?;
            digits(fraction)? * 10u32.pow(missing)
        }
        _ => return None,
    };
    let clock = i64::from(hour * 3600 + minute * 60 + second);
    Some(Timestamp { seconds: days_from_epoch(i64::from(year), month, day) * 86_400 + clock, nanos })
}

/// A number of up to nine decimal digits.
fn digits(text: &[u8]) -> Option<u32> {
    let mut number = 0;
    for digit in text {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u32::from(digit - b'0');
    }
    Some(number)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01, in the proleptic Gregorian calendar, by eras of 400 years that begin in March.
fn days_from_epoch(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    #[test]
    fn times_of_every_age_are_read() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1965-06-01T12:00:00.123456789Z", -144_676_800, 123_456_789),
            ("1601-01-01T00:00:00.0000001Z", -11_644_473_600, 100),
            ("9999-12-31T23:59:59.9Z", 253_402_300_799, 900_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800, 0),
        ] {
            assert_eq!(parse(text), Some(Timestamp { seconds, nanos }), "{text}");
        }
        assert_eq!(parse("2026-01-01T01:00:00+01:00"), parse("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_unknown_or_no_time_is_not_invented() {
        for text in
            ["0001-01-01T00:00:00Z", "", "yesterday", "2023-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_general_reader(seconds in -62_135_596_799i64..=253_402_300_799, nanos in 0u32..1_000_000_000) {
            let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap().replace_nanosecond(nanos).unwrap();
            let text = time.format(&Rfc3339).unwrap();
            prop_assert_eq!(utc(text.as_bytes()), Timestamp::parse_rfc3339(&text));
        }

        #[test]
        fn it_never_fails_and_never_says_otherwise(text in "[0-9TZ:.+-]{0,32}|\\PC{0,32}") {
            if let Some(time) = utc(text.as_bytes()) {
                prop_assert!(time == ZERO || Timestamp::parse_rfc3339(&text) == Some(time), "{}", text);
            }
            parse(&text);
        }
    }
}
