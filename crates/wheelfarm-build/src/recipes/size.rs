//! Sizes as people write them: `2GiB`, or a number of bytes.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Units and what one of each has in bytes.
const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("TB", 1000 * 1000 * 1000 * 1000),
];

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size: write `512MiB`, `2GiB` or a number of bytes")]
pub struct SizeError(String);

/// The bytes of `2GiB`, `1.5 GiB`, `500MB` or `1048576`.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let error = || SizeError(text.to_owned());
    let trimmed = text.trim();
    if let Ok(bytes) = trimmed.parse() {
        return Ok(bytes);
    }
    let unit = UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((trimmed.strip_suffix(unit)?, *bytes)));
    let (number, unit) = unit.ok_or_else(error)?;
    let (whole, fraction) = match number.trim_end().split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (number.trim_end(), "0"),
    };
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return Err(error());
    }
    let whole: u64 = whole.parse().map_err(|_| error())?;
    let thousandths: u64 = format!("{fraction:0<3}").parse().map_err(|_| error())?;
    whole
        .checked_mul(1000)
        .and_then(|number| number.checked_add(thousandths))
        .map(u128::from)
        .and_then(|number| u64::try_from(number * u128::from(unit) / 1000).ok())
        .ok_or_else(error)
}

/// For a member that may be there: a text or a number of bytes.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a size such as `2GiB`, or a number of bytes")]
    enum Written {
        Bytes(u64),
        Text(String),
    }
    match Option::<Written>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Written::Text(text)) => parse_size(&text).map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("2GiB", 2 << 30),
            ("1.5 GiB", 3 << 29),
            ("0.25KiB", 256),
            ("500MB", 500_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "GiB",
            "2G",
            "-1GiB",
            "1.GiB",
            ".5GiB",
            "1.0001GiB",
            "99999999TiB",
            "2 gib",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
