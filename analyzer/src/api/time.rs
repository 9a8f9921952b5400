//! Moments as text: RFC 3339 out, RFC 3339 or a number in.

use std::fmt::Write;

use crate::ingest::raceway_events::time as rfc3339_time;

const DAY_S: u64 = 86_400;

/// `2026-11-22T17:30:05.123456789Z`; fractions as long as they have to be, in steps of three digits.
pub(crate) fn rfc3339(ns: u64) -> String {
    let (seconds, fraction) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (year, month, day) = date(seconds / DAY_S);
    let second = seconds % DAY_S;
    let mut text = format!("{year:04}-{month:02}-{day:02}T");
    let _ = write!(text, "{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    let _ = match fraction {
        0 => Ok(()),
        _ if fraction.is_multiple_of(1_000_000) => write!(text, ".{:03}", fraction / 1_000_000),
        _ if fraction.is_multiple_of(1_000) => write!(text, ".{:06}", fraction / 1_000),
        _ => write!(text, ".{fraction:09}"),
    };
    text.push('Z');
    text
}

/// RFC 3339, or a whole number since 1970 in s, ms, µs or ns, whichever gives a year between 1973 and 5138.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: u64 = text.parse().ok()?;
        let unit = match text.trim_start_matches('0').len() {
            0..=11 => 1_000_000_000,
            12..=14 => 1_000_000,
            15..=17 => 1_000,
            _ => 1,
        };
        return number.checked_mul(unit);
    }
    rfc3339_time::parse(text)
}

/// Year, month and day of a day since 1970, by counting from the first of March of year 0 in eras of 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let january = month >= 10;
    let month_of_year = if january { month - 9 } else { month + 3 };
    (era * 400 + year + u64::from(january), month_of_year, day - (153 * month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        let table = [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59.5Z", 951_868_799_500_000_000),
            ("2026-11-22T17:30:05.123456789Z", 1_795_368_605_123_456_789),
            ("2026-11-22 18:30:05.123456789+01:00", 1_795_368_605_123_456_789),
            ("2026-11-22t12:30:05.1234567891-05:00", 1_795_368_605_123_456_789),
            ("1795368605", 1_795_368_605_000_000_000),
            ("1795368605123", 1_795_368_605_123_000_000),
            ("1795368605123456", 1_795_368_605_123_456_000),
            ("1795368605123456789", 1_795_368_605_123_456_789),
            ("0", 0),
        ];
        for (text, ns) in table {
            assert_eq!(parse(text), Some(ns), "{text}");
        }
        assert_eq!(rfc3339(1_795_368_605_120_000_000), "2026-11-22T17:30:05.120Z");
        assert_eq!(rfc3339(1_795_368_605_000_000_000), "2026-11-22T17:30:05Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "now", "2026-11-22", "2026-02-29T00:00:00Z", "1969-12-31T23:59:59Z", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(ns in any::<u64>()) {
            prop_assert_eq!(parse(&rfc3339(ns)), Some(ns));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
