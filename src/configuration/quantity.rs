//! Durations and sizes as people write them: `5m`, `24h`, `256MiB`.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
const SIZE_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
];

/// Reads a duration: a whole number and `s`, `m`, `h` or `d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = quantity(text, &DURATION_UNITS);
    seconds.map(Duration::from_secs).ok_or_else(|| "a number and s, m, h or d is wanted, such as 5m".into())
}

/// Reads a size in bytes: a whole number, and `KiB`, `MiB`, `GiB` or `TiB`.
pub fn size(text: &str) -> Result<u64, String> {
    quantity(text, &SIZE_UNITS).ok_or_else(|| "a number and KiB, MiB or GiB is wanted, such as 256MiB".into())
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1 d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("4 gib"), Ok(4 << 30));
        assert_eq!(size("1000"), Ok(1000));
        for wrong in ["", "m", "5", "-5m", "5 weeks", "1.5h", "99999999999999999999s", "99999999999999d9"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "GiB", "-1", "18446744073709551615K", "5 apples"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
