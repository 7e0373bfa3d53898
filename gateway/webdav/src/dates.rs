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
}
