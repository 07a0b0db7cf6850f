//! Tables for terminals: columns as wide as their widest cell, two spaces apart.

use crate::units::{padded, width};

/// The lines of a table. Cells may hold colours; `right` names columns whose cells stand at their right edge.
pub(crate) fn table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let plain = |cell: &str| anstream::adapter::strip_str(cell).to_string();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(&plain(cell))).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, most))| {
            let spaces = most.saturating_sub(width(&plain(cell)));
            if right.contains(&column) {
                format!("{}{cell}", padded("", spaces))
            } else {
                format!("{cell}{}", padded("", spaces))
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_room() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["how", "size", "x"]),
            row(["\u{1b}[32mok\u{1b}[0m", "10 MiB", ""]),
        ];
        assert_eq!(
            table(&rows, &[1]),
            ["how    size  x", "\u{1b}[32mok\u{1b}[0m   10 MiB"]
        );
    }
}
