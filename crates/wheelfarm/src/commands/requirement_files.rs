//! Requirements files: names with versions, one a line
//! ([pip's format](https://pip.pypa.io/en/stable/reference/requirements-file-format/), as far as it is read here).

use std::path::{Path, PathBuf};

use wheelfarm_types::Requirement;

use crate::exit::Failure;

/// How deep `-r` inside a file may lead.
const DEPTH: usize = 10;

/// What a requirements file asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Requirements {
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) constraints: Vec<Requirement>,
}

/// Reads `path` and the files it includes.
pub(crate) fn read(path: &Path) -> Result<Requirements, Failure> {
    let mut found = Requirements::default();
    read_into(path, false, DEPTH, &mut found)?;
    Ok(found)
}

fn read_into(
    path: &Path,
    constraints: bool,
    depth: usize,
    found: &mut Requirements,
) -> Result<(), Failure> {
    let name = path.display();
    if depth == 0 {
        return Err(Failure::usage(format!(
            "`{name}` is included by files that include each other"
        )));
    }
    let text = fs_err::read_to_string(path)
        .map_err(|error| Failure::usage(format!("requirements could not be read: {error}")))?;
    for (number, line) in logical_lines(&text) {
        let here = |message: String| Failure::usage(format!("`{name}`, line {number}: {message}"));
        let include = |options: [&str; 2]| {
            options.iter().find_map(|option| {
                let rest = line.strip_prefix(option)?;
                rest.starts_with([' ', '=', '\t'])
                    .then(|| rest.trim_start_matches(['=', ' ', '\t']))
            })
        };
        let included = |file: &str| {
            path.parent()
                .unwrap_or(Path::new(""))
                .join(PathBuf::from(file))
        };
        if let Some(file) = include(["-r", "--requirement"]) {
            read_into(&included(file), constraints, depth - 1, found)?;
        } else if let Some(file) = include(["-c", "--constraint"]) {
            read_into(&included(file), true, depth - 1, found)?;
        } else if line.starts_with('-') {
            let option = line.split_whitespace().next().unwrap_or_default();
            return Err(
                here(format!("the option `{option}` is not read here")).with_hint(Some(
                    "index settings come from the environment and pip.conf".to_owned(),
                )),
            );
        } else {
            if line.contains(" --hash") {
                return Err(here(
                    "hashes are not read here: the lock that is made has its own".to_owned(),
                ));
            }
            let requirement = line.parse().map_err(|error| here(format!("{error}")))?;
            if constraints {
                found.constraints.push(requirement);
            } else {
                found.requirements.push(requirement);
            }
        }
    }
    Ok(())
}

/// Lines without comments, joined where they end in a backslash, with the number they begin at.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let uncommented = if line.starts_with('#') {
            ""
        } else {
            line.split_once(" #").map_or(line, |(before, _)| before)
        };
        let (number, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        if let Some(begun) = uncommented.trim_end().strip_suffix('\\') {
            joined.push_str(begun);
            open = Some((number, joined));
        } else {
            joined.push_str(uncommented);
            lines.push((number, joined.trim().to_owned()));
        }
    }
    lines.extend(open);
    lines.retain(|(_, line)| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(requirements: &[Requirement]) -> Vec<&str> {
        requirements.iter().map(Requirement::as_str).collect()
    }

    #[test]
    fn comments_continuations_and_includes() {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| fs_err::write(directory.path().join(name), text).unwrap();
        write(
            "a.txt",
            "# all\npsycopg2 >= 2.9 \\\n  , < 3  # why\n\n-r b.txt\n--constraint=c.txt\n",
        );
        write("b.txt", "lxml");
        write("c.txt", "lxml<7");
        let found = read(&directory.path().join("a.txt")).unwrap();
        assert_eq!(
            texts(&found.requirements),
            ["psycopg2 >= 2.9 , < 3", "lxml"]
        );
        assert_eq!(texts(&found.constraints), ["lxml<7"]);
    }

    #[test]
    fn errors_name_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.txt");
        for (text, says) in [
            ("\n???", "line 2"),
            ("--index-url https://host/", "--index-url"),
            ("-r r.txt", "include each other"),
            ("a==1 --hash=sha256:00", "hashes"),
        ] {
            fs_err::write(&path, text).unwrap();
            let failure = read(&path).unwrap_err();
            assert!(failure.message.contains(says), "{}", failure.message);
        }
        assert!(
            read(&directory.path().join("absent"))
                .unwrap_err()
                .message
                .contains("absent")
        );
    }
}
