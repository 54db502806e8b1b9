//! Times as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time as UTC milliseconds: RFC 3339 (`2026-01-31T12:00:00Z`, `2026-01-31`), or how long ago (`90m`, `2h`, `7d`).
///
/// # Errors
/// With what would be one.
pub fn parse(text: &str) -> Result<i64, String> {
    let date = format!("{text}T00:00:00Z");
    let time = humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&date))
        .ok();
    let ago = || SystemTime::now().checked_sub(humantime::parse_duration(text).ok()?);
    let time = time.or_else(ago).ok_or_else(|| {
        format!("`{text}` is neither a time (2026-01-31T12:00:00Z, 2026-01-31) nor how long ago (90m, 2h, 7d)")
    })?;
    let since = time.duration_since(UNIX_EPOCH);
    let since = since.map_err(|_| format!("`{text}` is before 1970"))?;
    i64::try_from(since.as_millis()).map_err(|_| format!("`{text}` is too late"))
}

/// `2026-01-31T12:00:00.123Z`.
pub fn show(ms: i64) -> String {
    let Ok(ms) = u64::try_from(ms) else {
        return "before 1970".to_owned();
    };
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    time.map_or_else(String::new, |time| {
        humantime::format_rfc3339_millis(time).to_string()
    })
}

/// How long after something: `+0.004 s`, `+2 min 3 s`, `+3 h 5 min`.
pub fn after(ns: i64) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    let ms = ns.unsigned_abs() / 1_000_000;
    let (s, min, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    if h > 0 {
        format!("{sign}{h} h {:02} min", min % 60)
    } else if min > 0 {
        format!("{sign}{min} min {:02} s", s % 60)
    } else {
        format!("{sign}{s}.{:03} s", ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        assert_eq!(parse("1970-01-02"), Ok(86_400_000));
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(1_000));
        assert!(parse("2h").unwrap() > 1_700_000_000_000);
        assert!(parse("yesterday").unwrap_err().contains("how long ago"));
        assert_eq!(show(1_000), "1970-01-01T00:00:01.000Z");
        assert_eq!(after(4_200_000), "+0.004 s");
        assert_eq!(after(-123_000_000_000), "-2 min 03 s");
    }
}
