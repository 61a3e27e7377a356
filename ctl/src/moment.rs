//! Points in time as users write and read them. Never reads the clock itself: the present is handed in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 of `text`: a time span before `now` (`10m`, `2h 30m`, `1d`) or an RFC 3339 time
/// (`2026-03-01T12:00:00Z`, `2026-03-01 12:00:00`).
pub(crate) fn parse(text: &str, now: SystemTime) -> Result<u64, String> {
    let moment = match humantime::parse_duration(text) {
        Ok(span) => now.checked_sub(span),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    moment
        .and_then(|moment| moment.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .ok_or_else(|| {
            format!("'{text}' is no time: write a span such as 10m or 2h, or 2026-03-01T12:00:00Z")
        })
}

/// RFC 3339 with milliseconds, UTC.
pub(crate) fn precise(time_ns: u64) -> String {
    humantime::format_rfc3339_millis(at(time_ns)).to_string()
}

/// RFC 3339 with seconds, UTC.
pub(crate) fn short(time_ns: u64) -> String {
    humantime::format_rfc3339_seconds(at(time_ns)).to_string()
}

/// The same of seconds.
pub(crate) fn of_sec(time_sec: u64) -> String {
    short(time_sec.saturating_mul(1_000_000_000))
}

/// Only the time of the day with milliseconds, UTC: for a table that is watched while it happens.
pub(crate) fn of_day(time_ns: u64) -> String {
    let precise = precise(time_ns);
    precise.split_once('T').map_or(precise.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}

/// A time span in its two largest units: `3h 12m`.
pub(crate) fn span(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_secs());
    humantime::format_duration(whole).to_string().split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn at(time_ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(time_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> SystemTime {
        humantime::parse_rfc3339("2026-03-01T12:00:00Z").unwrap()
    }

    #[test]
    fn a_span_counts_back_from_now() {
        assert_eq!(precise(parse("10m", noon()).unwrap()), "2026-03-01T11:50:00.000Z");
        assert_eq!(precise(parse("1d 2h", noon()).unwrap()), "2026-02-28T10:00:00.000Z");
    }

    #[test]
    fn a_date_is_taken_as_utc() {
        assert_eq!(parse("2026-03-01T11:50:00Z", noon()), parse("10m", noon()));
        assert_eq!(parse("2026-03-01 11:50:00", noon()), parse("10m", noon()));
    }

    #[test]
    fn says_what_a_time_looks_like() {
        let error = parse("yesterday", noon()).unwrap_err();
        assert_eq!(error, "'yesterday' is no time: write a span such as 10m or 2h, or 2026-03-01T12:00:00Z");
        assert!(parse("9999999y", noon()).is_err());
        assert!(parse("1969-12-31T23:59:59Z", noon()).is_err());
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        assert_eq!(span(Duration::from_secs(3 * 3600 + 12 * 60 + 5)), "3h 12m");
        assert_eq!(span(Duration::from_millis(900)), "0s");
    }

    #[test]
    fn the_time_of_the_day_has_no_date() {
        assert_eq!(of_day(parse("10m", noon()).unwrap()), "11:50:00.000");
    }
}
