//! How long to wait before asking again.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Seconds before the second time, the third and so on; then it was the last.
const PAUSES: [u64; 3] = [1, 2, 4];
/// An index that wants more time than this is not waited for, in seconds.
const LONGEST: u64 = 60;

/// The pauses between attempts.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    PAUSES.into_iter().map(Duration::from_secs)
}

/// The next pause: what the index wants, if it says so, else one of ours. None if there is none, or it is too long.
pub(super) fn pause(
    pauses: &mut impl Iterator<Item = Duration>,
    wanted: Option<Duration>,
) -> Option<Duration> {
    let ours = pauses.next()?;
    let pause = wanted.unwrap_or(ours);
    (pause <= Duration::from_secs(LONGEST)).then_some(pause)
}

/// The value of `Retry-After` at `now`: seconds or a date (RFC 9110, section 10.2.3).
pub(super) fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    // A date that is past means now.
    Some((date.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_index_wants_counts_if_it_is_bearable() {
        let mut left = pauses();
        let seconds = Duration::from_secs;
        assert_eq!(pause(&mut left, None), Some(seconds(1)));
        assert_eq!(pause(&mut left, Some(seconds(30))), Some(seconds(30)));
        assert_eq!(pause(&mut left, Some(seconds(61))), None);
        let mut left = left.chain([seconds(9)]);
        assert_eq!(pause(&mut left, Some(seconds(0))), Some(seconds(0)));
        assert_eq!(pause(&mut left, Some(seconds(0))), None);
    }

    #[test]
    fn times_are_seconds_or_dates() {
        let now = DateTime::UNIX_EPOCH;
        let parse = |value| parse(value, now);
        assert_eq!(parse(" 7 "), Some(Duration::from_secs(7)));
        let date = "Thu, 01 Jan 1970 00:00:09 GMT";
        assert_eq!(parse(date), Some(Duration::from_secs(9)));
        let past = "Wed, 31 Dec 1969 23:00:00 GMT";
        assert_eq!(parse(past), Some(Duration::ZERO));
        for bad in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
