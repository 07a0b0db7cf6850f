//! Lines of logs as they may be shown: packages print what they like, escape sequences for the terminal included.

/// Characters of a line that are shown.
const LONGEST: usize = 2000;

/// `line` without what would control a terminal or reorder its text; cut where it is too long to be read.
///
/// Of a line that was written over, as progress bars do, the last state is left.
pub fn plain(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let line = line.rsplit('\r').next().unwrap_or_default();
    let mut text = String::new();
    let mut shown = 0;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            skip_sequence(&mut chars);
        } else if c == '\t' || !is_control(c) {
            if shown == LONGEST {
                text.push_str(" [...]");
                break;
            }
            shown += 1;
            text.push(c);
        }
    }
    text
}

/// Controls of ASCII and of Latin-1, and those that change the direction of text.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Skips the rest of an escape sequence (ECMA-48): CSI to its final character, strings to their terminator.
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => {
            chars.find(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut escaped = false;
            chars.find(|c| {
                let ended = *c == '\u{7}' || (escaped && *c == '\\');
                escaped = *c == '\u{1b}';
                ended
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_controls_a_terminal() {
        for (line, shown) in [
            ("plain\ttext é", "plain\ttext é"),
            ("\u{1b}[1;31merror\u{1b}[0m: no", "error: no"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq...\u{1b}\\a\u{1b}7b", "ab"),
            ("bell\u{7} back\u{8} \u{9b}2J", "bell back 2J"),
            ("user\u{202e}gpj.exe", "usergpj.exe"),
            ("10%\r50%\r100%\r\n", "100%"),
            ("\u{1b}", ""),
            ("\u{1b}]0;never ends", ""),
        ] {
            assert_eq!(plain(line), shown, "{line:?}");
        }
    }

    #[test]
    fn long_lines_are_cut() {
        let line = plain(&"é".repeat(LONGEST));
        assert_eq!(line.chars().count(), LONGEST);
        assert!(plain(&"x".repeat(1 << 20)).ends_with("x [...]"));
    }
}
