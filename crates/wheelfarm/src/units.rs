//! Sizes, times and lengths of text as people read them.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A number of bytes.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with one digit after the point"
    )]
    let number = bytes as f64;
    if bytes < 1 << 10 {
        format!("{bytes} B")
    } else if bytes < 1 << 20 {
        format!("{:.1} KiB", number / 1024.0)
    } else {
        format!("{:.1} MiB", number / (1024.0 * 1024.0))
    }
}

/// A time: tenths below ten seconds, else the two largest units.
pub(crate) fn time(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is above nine and rounded; what is beyond the type is not a time"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} m {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} m", whole / 3600, whole % 3600 / 60),
    }
}

/// How many columns of a terminal `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `columns` columns: what is cut off is replaced by `…`.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if taken + wide + 1 > columns {
            break;
        }
        short.push(c);
        taken += wide;
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// `text` with spaces behind it, `columns` wide.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let spaces = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(spaces))
}

/// A line that a build printed, without what terminals and CI systems act on: control characters, and the mark of
/// commands that a GitHub runner finds anywhere in a line.
pub(crate) fn harmless(line: &str) -> String {
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    line.replace("##[", "## [")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_log_give_no_orders() {
        assert_eq!(harmless("a\u{1b}[2J\rb"), "a[2Jb");
        assert_eq!(harmless("x ##[add-path]/tmp"), "x ## [add-path]/tmp");
    }

    #[test]
    fn times_have_two_units_at_most() {
        let times = [0.04, 9.94, 9.96, 59.6, 65.0, 3600.0, 7380.0].map(time);
        assert_eq!(
            times,
            [
                "0.0 s", "9.9 s", "10 s", "1 m 00 s", "1 m 05 s", "1 h 00 m", "2 h 03 m"
            ]
        );
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        assert_eq!(shortened("psycopg2", 8), "psycopg2");
        assert_eq!(shortened("psycopg2", 7), "psycop…");
        // Two columns each: the third does not fit beside the ellipsis.
        assert_eq!(shortened("日本語", 5), "日本…");
        assert_eq!(shortened("日本語", 4), "日…");
        assert_eq!(shortened("abc", 0), "");
    }
}
