//! Durations and sizes as people write and read them.

use std::time::Duration;

/// Why a text is not a duration or a size. The text says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnit {
    /// Not a duration at all.
    #[error("expected a number with a unit, such as 30s, 1.5s, 500ms or 2m")]
    Duration,
    /// A duration out of range.
    #[error("expected from {} to {}", show_duration(*.0), show_duration(*.1))]
    DurationRange(Duration, Duration),
    /// Not a size at all.
    #[error("expected a number of bytes, such as 65536, 512K or 4M (K is 1024 bytes)")]
    Size,
    /// A size out of range.
    #[error("expected at most {}", show_bytes(*.0))]
    SizeRange(u64),
}

/// Reads `30s`, `1.5s`, `500ms`, `2m`, `1h`, to the millisecond.
pub fn parse_duration(text: &str, least: Duration, most: Duration) -> Result<Duration, BadUnit> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(BadUnit::Duration),
    };
    let ms = scaled(number, unit_ms).ok_or(BadUnit::Duration)?;
    let duration = Duration::from_millis(ms);
    if duration < least || duration > most {
        return Err(BadUnit::DurationRange(least, most));
    }
    Ok(duration)
}

/// Reads `65536`, `512K`, `512KiB`, `1.5M`, `4MiB`.
pub fn parse_bytes(text: &str, most: u64) -> Result<u64, BadUnit> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_bytes: u64 = match unit {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1024,
        "M" | "m" | "MiB" => 1024 * 1024,
        _ => return Err(BadUnit::Size),
    };
    let bytes = scaled(number, unit_bytes).ok_or(BadUnit::Size)?;
    if bytes > most {
        return Err(BadUnit::SizeRange(most));
    }
    Ok(bytes)
}

/// A decimal number times a unit, rounded down; at most three digits after the point.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u64>().ok()?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    whole.checked_add(thousandths.checked_mul(unit)? / 1000)
}

/// `512 bytes`, `1.5 KiB`, `16.0 MiB`.
pub fn show_bytes(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    match bytes {
        1 => "1 byte".to_owned(),
        0..KIB => format!("{bytes} bytes"),
        KIB..MIB => tenths(bytes, KIB, "KiB"),
        MIB.. => tenths(bytes, MIB, "MiB"),
    }
}

/// `12.3 ms`, `10.0 s`, `2 m 5 s`.
pub fn show_duration(duration: Duration) -> String {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    match us {
        0 => "0 ms".to_owned(),
        1..1_000_000 => tenths(us, 1000, "ms"),
        1_000_000..120_000_000 => tenths(us, 1_000_000, "s"),
        _ if us % 60_000_000 == 0 => format!("{} m", us / 60_000_000),
        _ => format!("{} m {} s", us / 60_000_000, us / 1_000_000 % 60),
    }
}

/// Rounded down, so that a limit is never shown as more than it is.
fn tenths(amount: u64, unit: u64, name: &str) -> String {
    let tenth = (amount % unit) * 10 / unit;
    format!("{}.{tenth} {name}", amount / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_to_the_millisecond() {
        let parse = |text| {
            parse_duration(text, Duration::from_millis(1), Duration::from_secs(600))
                .map(|duration| duration.as_millis())
        };
        for (text, ms) in
            [("30s", 30_000), ("1.5s", 1500), ("500ms", 500), ("2m", 120_000), ("0.001s", 1)]
        {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.2345s", "1 s", "1e3s", "1.s", ".5s", "١s"] {
            assert_eq!(parse(text), Err(BadUnit::Duration), "{text}");
        }
        let range = BadUnit::DurationRange(Duration::from_millis(1), Duration::from_secs(600));
        assert_eq!(parse("0s"), Err(range.clone()));
        assert_eq!(parse("11m"), Err(range.clone()));
        assert_eq!(parse("99999999999999999999s"), Err(BadUnit::Duration));
        assert_eq!(range.to_string(), "expected from 1.0 ms to 10 m");
    }

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        let parse = |text| parse_bytes(text, 16 * 1024 * 1024);
        for (text, bytes) in [("0", 0), ("65536", 65_536), ("512K", 524_288), ("1.5MiB", 1_572_864)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "4MB", "4 M", "-1", "0x10"] {
            assert_eq!(parse(text), Err(BadUnit::Size), "{text}");
        }
        assert_eq!(
            parse("17M").map_err(|bad| bad.to_string()),
            Err("expected at most 16.0 MiB".into())
        );
    }

    #[test]
    fn amounts_are_shown_for_people() {
        assert_eq!(show_bytes(1), "1 byte");
        assert_eq!(show_bytes(1023), "1023 bytes");
        assert_eq!(show_bytes(1536), "1.5 KiB");
        assert_eq!(show_bytes(16 * 1024 * 1024), "16.0 MiB");
        assert_eq!(show_duration(Duration::from_micros(12_345)), "12.3 ms");
        assert_eq!(show_duration(Duration::from_secs(10)), "10.0 s");
        assert_eq!(show_duration(Duration::from_secs(125)), "2 m 5 s");
    }
}
