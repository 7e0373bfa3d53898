//! Dates as WebDAV clients bear them: whole seconds, 1970 to 9999 (docs/webdav-clients.md §5.14). Exact times have properties of
//! their own.

use time::OffsetDateTime;
use vfs::Timestamp;

/// 9999-12-31T23:59:59Z.
const LATEST: i64 = 253_402_300_799;

/// The nearest second that every client can show.
pub(crate) fn clamped(time: Timestamp) -> i64 {
    time.seconds.clamp(0, LATEST)
}

/// RFC 9110 HTTP-date, clamped.
pub(crate) fn http_date_into(out: &mut Vec<u8>, time: Timestamp) {
    let date = OffsetDateTime::from_unix_timestamp(clamped(time)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let weekday = usize::from(date.weekday().number_days_from_sunday());
    let month = usize::from(u8::from(date.month())) - 1;
    out.extend_from_slice(WEEKDAYS[weekday]);
    out.extend_from_slice(b", ");
    two(out, date.day());
    out.push(b' ');
    out.extend_from_slice(MONTHS[month]);
    out.push(b' ');
    year(out, date.year());
    out.push(b' ');
    clock(out, date);
    out.extend_from_slice(b" GMT");
}

/// RFC 3339 with whole seconds, clamped: `creationdate` with nanoseconds breaks Windows.
pub(crate) fn iso_date_into(out: &mut Vec<u8>, time: Timestamp) {
    let date = OffsetDateTime::from_unix_timestamp(clamped(time)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    year(out, date.year());
    out.push(b'-');
    two(out, u8::from(date.month()));
    out.push(b'-');
    two(out, date.day());
    out.push(b'T');
    clock(out, date);
    out.push(b'Z');
}

/// [`http_date_into`] as text.
pub(crate) fn http_date(time: Timestamp) -> String {
    let mut out = Vec::with_capacity(29);
    http_date_into(&mut out, time);
    String::from_utf8(out).unwrap_or_default()
}

/// Time and date as DOS has them, for archives: 1980 to 2107, two seconds apart, clamped.
pub(crate) fn dos(time: Option<Timestamp>) -> (u16, u16) {
    const EARLIEST: i64 = 315_532_800;
    const LATEST: i64 = 4_354_819_199;
    let seconds = time.map_or(EARLIEST, |time| time.seconds.clamp(EARLIEST, LATEST));
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let day = u16::from(date.day()) | (u16::from(u8::from(date.month())) << 5);
    let year = u16::try_from((date.year() - 1980).clamp(0, 127)).unwrap_or(0);
    let time = (u16::from(date.second()) / 2) | (u16::from(date.minute()) << 5) | (u16::from(date.hour()) << 11);
    (time, day | (year << 9))
}

const WEEKDAYS: [&[u8]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

fn two(out: &mut Vec<u8>, value: u8) {
    out.extend_from_slice(&[b'0' + value / 10 % 10, b'0' + value % 10]);
}

fn year(out: &mut Vec<u8>, year: i32) {
    let year = u16::try_from(year).unwrap_or(0);
    two(out, u8::try_from(year / 100).unwrap_or(0));
    two(out, u8::try_from(year % 100).unwrap_or(0));
}

fn clock(out: &mut Vec<u8>, date: OffsetDateTime) {
    two(out, date.hour());
    out.push(b':');
    two(out, date.minute());
    out.push(b':');
    two(out, date.second());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_outside_what_clients_bear_are_clamped() {
        assert_eq!(http_date(Timestamp::new(784_111_777, 999_999_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(Timestamp::new(-11_644_473_600, 0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(Timestamp::new(i64::MAX, 0)), "Fri, 31 Dec 9999 23:59:59 GMT");
        let mut iso = Vec::new();
        iso_date_into(&mut iso, Timestamp::new(784_111_777, 5));
        assert_eq!(iso, b"1994-11-06T08:49:37Z");
    }

    #[test]
    fn times_in_archives_are_those_that_dos_can_say() {
        assert_eq!(dos(None), (0, 0x21));
        assert_eq!(dos(Some(Timestamp::new(784_111_777, 0))), (18 + 49 * 32 + 8 * 2_048, 6 + 11 * 32 + 14 * 512));
        assert_eq!(dos(Some(Timestamp::new(i64::MAX, 0))).1 >> 9, 127);
    }
}
