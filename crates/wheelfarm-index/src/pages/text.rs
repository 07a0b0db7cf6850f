//! Numbers and times as people read them.

use chrono::{DateTime, SecondsFormat, Utc};

/// `840 B`, `12.3 kB`, `4.6 MB`: in powers of ten, as disks and networks are sold.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    // Tenths, so that nothing is lost to floating point.
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 9_995 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || tenths >= 1000 {
        format!("{} {name}", (tenths + 5) / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// `12 345`: groups of three.
pub(super) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`.
pub(super) fn count(many: usize, one: &str, more: &str) -> String {
    format!("{} {}", number(many), if many == 1 { one } else { more })
}

/// `1.2 s`, `3 min 5 s`, `2 h 10 min`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let text = format!("{seconds:.0}");
    let whole: u64 = text.parse().unwrap_or_default();
    match whole {
        0..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A time for machines and two for people.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// RFC 3339.
    pub(super) iso: String,
    /// `2026-11-21 20:15 UTC`.
    pub(super) exact: String,
    /// `3 hours ago`.
    pub(super) ago: String,
}

impl Moment {
    pub(super) fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let iso = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let exact = format!(
            "{} {} UTC",
            iso.get(..10).unwrap_or_default(),
            iso.get(11..16).unwrap_or_default()
        );
        let seconds = usize::try_from((now - at).num_seconds()).unwrap_or_default();
        let ago = match seconds {
            0..60 => "just now".to_owned(),
            60..3600 => format!("{} ago", count(seconds / 60, "minute", "minutes")),
            3600..172_800 => format!("{} ago", count(seconds / 3600, "hour", "hours")),
            172_800..5_184_000 => format!("{} days ago", seconds / 86_400),
            5_184_000..63_072_000 => format!("{} months ago", seconds / 2_592_000),
            _ => format!("{} years ago", seconds / 31_536_000),
        };
        Self { iso, exact, ago }
    }

    /// Of seconds since 1970.
    pub(super) fn of_seconds(seconds: u64, now: DateTime<Utc>) -> Self {
        let at = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Self::new(at.unwrap_or_default(), now)
    }
}

/// At most `most` characters, the middle left out: ends of file names say the most.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let head = most.saturating_sub(1) / 2;
    let tail = most.saturating_sub(1) - head;
    let first: String = text.chars().take(head).collect();
    let last: String = text.chars().skip(length - tail).collect();
    format!("{first}…{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most() {
        let sizes = [0, 999, 1000, 12_345, 999_949, 999_999, 16_918_164, u64::MAX];
        let texts = sizes.map(size);
        assert_eq!(
            texts,
            [
                "0 B",
                "999 B",
                "1.0 kB",
                "12.3 kB",
                "1.0 MB",
                "1.0 MB",
                "16.9 MB",
                "18446744 TB"
            ]
        );
    }

    #[test]
    fn counts_and_durations() {
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(duration(0.25), "0.2 s");
        assert_eq!(duration(185.0), "3 min 5 s");
        assert_eq!(duration(7800.0), "2 h 10 min");
        assert_eq!(duration(f64::NAN), "unknown");
    }

    #[test]
    fn a_moment_says_when_and_how_long_ago() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let moment = Moment::of_seconds(1_800_000_000 - 7300, now);
        assert_eq!(moment.ago, "2 hours ago");
        assert_eq!(moment.exact, "2027-01-15 05:58 UTC");
        // Clocks differ.
        assert_eq!(Moment::of_seconds(1_800_000_009, now).ago, "just now");
        assert_eq!(
            Moment::of_seconds(u64::MAX, now).iso,
            "1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn the_middle_is_left_out() {
        assert_eq!(shortened("libcrypto-7d0e8add.so.1.1", 13), "libcry…so.1.1");
        assert_eq!(shortened("libz.so.1", 13), "libz.so.1");
    }
}
