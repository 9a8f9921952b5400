//! Times as Raceway's SDKs write them: RFC 3339.

/// `2026-11-01T10:00:00.123456789+01:00` as ns since the epoch. Where the offset is missing it is UTC, as one SDK
/// writes it. `None` for what is no time, or before 1970, or after 2554.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim().as_bytes();
    let (date, rest) = text.split_at_checked(19)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', i1, i2, b':', s1, s2] = *date
    else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[i1, i2])?, number(&[s1, s2])?);
    // A leap second is the next minute's first.
    if !(1..=12).contains(&month)
        || !(1..=days_in(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let (fraction_ns, rest) = match rest.split_first() {
        Some((b'.' | b',', rest)) => {
            let digits = rest.iter().take_while(|digit| digit.is_ascii_digit()).count();
            let (digits, rest) = rest.split_at_checked(digits)?;
            let mut ns = 0;
            for at in 0..9 {
                ns = ns * 10 + i64::from(digits.get(at).map_or(0, |digit| digit - b'0'));
            }
            (if digits.is_empty() { return None } else { ns }, rest)
        }
        _ => (0, rest),
    };
    let offset_s = match *rest {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let offset_s = number(&[h1, h2])? * 3600 + number(&[m1, m2])? * 60;
            if sign == b'-' { -offset_s } else { offset_s }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    u64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(fraction_ns)).ok()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = 365 * year + year / 4 - year / 100 + year / 400;
    let before_month = (153 * month + 2) / 5;
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-01T10:00:00+00:00", 1_793_527_200_000_000_000),
            ("2026-11-01T11:00:00.5+01:00", 1_793_527_200_500_000_000),
            ("2026-11-01 09:30:00.123456789123-0030", 1_793_527_200_123_456_789),
            ("2026-11-01T10:00:00", 1_793_527_200_000_000_000),
            ("2024-02-29T23:59:60Z", 1_709_251_200_000_000_000),
            ("2000-03-01T00:00:00z", 951_868_800_000_000_000),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn no_times() {
        let valid = "2026-11-01T10:00:00.5+01:00";
        for (part, flaw) in [
            ("2026", "202x"),
            ("-11-", "-13-"),
            ("-11-01", "-02-29"),
            ("T10", "T24"),
            (":00:", ":60:"),
            (".5", "."),
            ("+01:00", "+1"),
            ("+01:00", "CET"),
            ("2026", "1969"),
            ("2026", "2600"),
            ("2026-", "2026"),
            (valid, ""),
            (valid, "now"),
        ] {
            assert_eq!(parse(&valid.replacen(part, flaw, 1)), None, "{flaw}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, tail in "[0-9TZ:+.-]{0,30}") {
            parse(&text);
            parse(&format!("2026-11-01T10:00:00{tail}"));
        }

        #[test]
        fn days_follow_one_another(year in 1970i64..2500, month in 1i64..=12, day in 1i64..=31) {
            prop_assume!(day <= days_in(year, month));
            let next = if day < days_in(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            prop_assert_eq!(days(next.0, next.1, next.2), days(year, month, day) + 1);
        }
    }
}
