//! Lines at the bottom of a terminal that are drawn again and again in the same place.

use std::io::Write as _;

use terminal_size::{Height, Width};

/// The lines on the terminal now.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    drawn: Vec<String>,
}

/// Goes up `n` lines to the first column and clears what is below.
fn back(n: usize) -> String {
    match n {
        0 => "\r\x1b[J".to_owned(),
        n => format!("\r\x1b[{n}A\x1b[J"),
    }
}

impl Screen {
    /// Columns and lines of the terminal that stderr is; the last column stays empty, since some terminals go to
    /// the next line when it is written.
    pub(crate) fn size() -> (usize, usize) {
        let (Width(columns), Height(lines)) =
            terminal_size::terminal_size_of(std::io::stderr()).unwrap_or((Width(80), Height(24)));
        (usize::from(columns).saturating_sub(1), usize::from(lines))
    }

    /// What to write for `lines` to stand where the last ones stood.
    fn frame(&mut self, lines: &[String]) -> String {
        let mut text = back(self.drawn.len());
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = lines.to_vec();
        text
    }

    /// Draws `lines` in the stead of the last ones.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        if self.drawn != lines {
            let frame = self.frame(lines);
            write(&frame);
        }
    }

    /// Takes the lines away.
    pub(crate) fn clear(&mut self) {
        if !self.drawn.is_empty() {
            let frame = self.frame(&[]);
            write(&frame);
        }
    }
}

/// In one piece, so that nothing flickers. Moves of the cursor are no colours: they stay whatever `NO_COLOR` says.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _gone = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_takes_the_place_of_the_last_one() {
        let mut screen = Screen::default();
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(screen.frame(&lines), "\r\x1b[Jone\ntwo\n");
        assert_eq!(screen.frame(&lines[..1]), "\r\x1b[2A\x1b[Jone\n");
        assert_eq!(screen.frame(&[]), "\r\x1b[1A\x1b[J");
    }
}
