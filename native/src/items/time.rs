//! RFC 3339 times as milliseconds since 1970.
//!
//! Needs a full date, a time and an offset: a time without one means a different moment in every place.

/// Milliseconds of the first and last moment of the years that RFC 3339 can write.
pub const MS_MIN: i64 = -62_167_219_200_000;
pub const MS_MAX: i64 = 253_402_300_799_999;

/// `2026-11-23T10:15:30.250+01:00`; `t`, `z` and a space instead of `T` are taken, digits after the millisecond are
/// cut. A leap second (`:60` in the last minute of a UTC day) is the first moment of the next minute.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || b[13] != b':' || b[16] != b':' || !b"Tt ".contains(&b[10]) {
        return None;
    }
    let (year, month, day) = (digits(&b[..4])?, digits(&b[5..7])?, digits(&b[8..10])?);
    let (hour, minute, second) = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    let (fraction_ms, rest) = fraction(&b[19..])?;
    let offset_minutes = offset(rest)?;
    let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    if second == 60 && minutes.rem_euclid(1440) != 1439 {
        return None;
    }
    let millisecond = if second == 60 { 0 } else { fraction_ms };
    let ms = (minutes * 60 + second) * 1000 + millisecond;
    (MS_MIN..=MS_MAX).contains(&ms).then_some(ms)
}

fn digits(b: &[u8]) -> Option<i64> {
    b.iter().try_fold(0, |v, d| d.is_ascii_digit().then(|| v * 10 + i64::from(d - b'0')))
}

fn fraction(b: &[u8]) -> Option<(i64, &[u8])> {
    if b.first() != Some(&b'.') {
        return Some((0, b));
    }
    let n = b[1..].iter().take_while(|d| d.is_ascii_digit()).count();
    if n == 0 {
        return None;
    }
    let ms = (0..3).fold(0, |v, i| v * 10 + if i < n { i64::from(b[1 + i] - b'0') } else { 0 });
    Some((ms, &b[1 + n..]))
}

fn offset(b: &[u8]) -> Option<i64> {
    match b {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (h, m) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let minutes = h * 60 + m;
            (h <= 23 && m <= 59).then_some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("2026-11-23T10:15:30Z", 1_795_428_930_000),
            ("2026-11-23t10:15:30.2509z", 1_795_428_930_250),
            ("2026-11-23 10:15:30.5+01:00", 1_795_425_330_500),
            ("2026-11-23T10:15:30-05:30", 1_795_448_730_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("2017-01-01T00:59:60.7+01:00", 1_483_228_800_000),
            ("0000-01-01T00:00:00Z", MS_MIN),
            ("9999-12-31T23:59:59.999Z", MS_MAX),
        ] {
            assert_eq!(parse_rfc3339(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_rfc_3339_time_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T10:15:30",
            "2026-11-23T10:15Z",
            "2026-11-23T10:15:30.Z",
            "2026-11-23T10:15:30+0100",
            "2026-11-23T10:15:30+24:00",
            "2026-11-23T10:15:30+01:60",
            "2026-11-23T24:00:00Z",
            "2026-11-23T10:60:00Z",
            "2026-11-23T10:15:60Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "+026-11-23T10:15:30Z",
            "2026-11-23T10:15:30Zx",
            "2026-11-23T10:15:30é",
            "9999-12-31T23:59:59-00:01",
            "٢026-11-23T10:15:30Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = days(1896, 1, 1);
        for year in 1896..2105 {
            for month in 1..=12 {
                for day in 1..=month_days(year, month) {
                    assert_eq!(days(year, month, day), expected);
                    expected += 1;
                }
            }
        }
    }
}
