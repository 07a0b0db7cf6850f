//! The file of `--rename-dynamic-symbols`: an old and a new name per line.

use std::collections::BTreeMap;
use std::path::Path;

use super::Refusal;
use super::words::reason;

/// Adds the pairs of `file` to `pairs`.
pub(super) fn read(file: &Path, pairs: &mut BTreeMap<String, String>) -> Result<(), Refusal> {
    let shown = file.display();
    let text = fs_err::read(file)
        .map_err(|error| format!("Cannot open map file {shown}: {}", reason(&error)))?;
    let text = String::from_utf8(text).map_err(|_| format!("{shown}: not UTF-8"))?;
    parse(&text, pairs).map_err(|(line, what)| format!("{shown}:{line}: {what}"))
}

/// An error comes with the number of its line.
fn parse(text: &str, pairs: &mut BTreeMap<String, String>) -> Result<(), (usize, String)> {
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split_ascii_whitespace();
        let Some(from) = words.next() else {
            // Patchelf stops here. A blank line in the middle is no reason to.
            continue;
        };
        let to = words.next().ok_or_else(|| {
            let what = "Map file line is missing the second element";
            (number, what.to_owned())
        })?;
        if pairs.contains_key(from) {
            let what = format!("Name '{from}' appears twice in the map file");
            return Err((number, what));
        }
        if from.contains('@') || to.contains('@') {
            let what = format!("Name pair contains version tag: {from} {to}");
            return Err((number, what));
        }
        pairs.insert(from.to_owned(), to.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_their_errors() {
        let mut pairs = BTreeMap::new();
        assert_eq!(parse("a b\n\n c\td more\n", &mut pairs), Ok(()));
        assert_eq!(pairs.get("c").map(String::as_str), Some("d"));
        assert_eq!(pairs.len(), 2);
        let mut error = |text| parse(text, &mut pairs).unwrap_err();
        assert_eq!(error("x y\nz\n").0, 2);
        assert_eq!(error("a q").1, "Name 'a' appears twice in the map file");
        assert_eq!(error("m@V n").1, "Name pair contains version tag: m@V n");
    }
}
