//! Requirements files as a whole.

use std::path::Path;

use wheelfarm_types::{Digest, Requirement};

use super::{Choice, InputLock, Inputs, Place, Reader};
use crate::{Lock, ResolveError, ResolveErrorKind};

const TEXT: &str = "lock-version = \"1.0\"\ncreated-by = \"uv\"\n";

fn read(path: &Path) -> Result<Inputs, ResolveError> {
    chosen(path, &Choice::default())
}

fn chosen(path: &Path, choice: &Choice) -> Result<Inputs, ResolveError> {
    let variables = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
    let reader = Reader {
        variables: &variables,
        choice,
    };
    let mut inputs = Inputs::default();
    reader.read(path, &mut inputs)?;
    Ok(inputs)
}

fn of(text: &str) -> Result<Inputs, ResolveError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.txt");
    fs_err::write(&path, text).unwrap();
    read(&path)
}

fn texts(requirements: &[Requirement]) -> Vec<&str> {
    requirements.iter().map(Requirement::as_str).collect()
}

#[test]
fn files_that_include_others() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write(
        "a.txt",
        "# all\npsycopg2 >= 2.9 \\\n  , < 3  # why\n\n-r more/b.txt\n--constraint=c.txt\n",
    );
    write(
        "more/b.txt",
        "lxml[html] ; python_version >= '3.9'\n-e ../project\n./x-1.zip\n",
    );
    write("c.txt", "lxml<7\n-r d.txt");
    write("d.txt", "six<2");
    let inputs = read(&directory.path().join("a.txt")).unwrap();
    assert_eq!(
        texts(&inputs.requirements),
        [
            "psycopg2 >= 2.9   , < 3",
            "lxml[html] ; python_version >= '3.9'"
        ]
    );
    // All lines of a constraints file constrain, those of files that it includes as well.
    assert_eq!(texts(&inputs.constraints), ["lxml<7", "six<2"]);
    let places: Vec<_> = inputs
        .sources
        .iter()
        .map(|source| source.place.clone())
        .collect();
    let path = |text: &str| Place::Path {
        path: directory.path().join("more").join(text),
        subdirectory: None,
    };
    assert_eq!(places, [path("./../project"), path("./x-1.zip")]);
}

#[test]
fn paths_are_looked_for_where_pip_does() {
    // Tests run in the directory of the crate.
    let inputs = of("-e .\n./no-such-place").unwrap();
    let path = |index: usize| match &inputs.sources[index].place {
        Place::Path { path, .. } => path.clone(),
        place => panic!("{place:?}"),
    };
    assert_eq!(path(0), Path::new("."));
    assert!(path(1).is_absolute() && path(1).ends_with("no-such-place"));
}

#[test]
fn options_of_all_requirements() {
    let inputs = of("-i https://${TOKEN}@h/simple\n--extra-index-url https://e/\n-f links\n\
                     --no-binary lxml,numpy\n--only-binary=numpy\n--pre\n--require-hashes\n--trusted-host h\nlxml")
    .unwrap();
    assert_eq!(
        inputs.index.index_url.as_deref(),
        Some("https://secret@h/simple")
    );
    assert_eq!(inputs.index.extra_index_urls, ["https://e/"]);
    assert!(inputs.index.find_links[0].ends_with("/links"));
    assert_eq!(inputs.index.trusted_hosts, ["h"]);
    assert!(inputs.formats.is_always_built(&"lxml".parse().unwrap()));
    assert!(inputs.formats.is_never_built(&"numpy".parse().unwrap()));
    assert!(inputs.prereleases && inputs.hashes.required);
}

#[test]
fn errors_name_the_file_and_line() {
    for (text, says) in [
        ("\n???", "line 2"),
        ("-r r.txt", "include each other"),
        ("a==1 --hash=sha256:00", "64 hexadecimal"),
        ("a==1 --hash=md5:00", "sha256"),
        ("a==1 --no-binary a", "only `--hash`"),
        ("a @ ${NOTHING}", "`NOTHING` is not set"),
        ("-r https://h/r.txt", "at an address"),
        ("--hash=sha256:00", "64 hexadecimal"),
        ("--prefer-binary", "--prefer-binary"),
    ] {
        let error = of(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains("r.txt"), "{error}");
    }
    assert!(
        read(Path::new("absent"))
            .unwrap_err()
            .to_string()
            .contains("absent")
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.txt");
    fs_err::write(&path, b"\xff\xfe").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("UTF-8"));
}

/// A lock with `x`, in two files, and `y`, which x requires.
fn lock() -> Lock {
    let file = |name: &str, ending: &str| {
        format!(
            "{{ url = \"https://h/{name}{ending}\", hashes = {{ sha256 = \"{}\" }} }}",
            Digest::of(format!("{name}{ending}"))
        )
    };
    let text = format!(
        "{TEXT}[[packages]]\nname = \"x\"\nversion = \"1\"\nsdist = {}\nwheels = [{}]\n[[packages]]\nname = \"y\"\nversion = \"1\"\nsdist = {}\n",
        file("x-1", ".tar.gz"),
        file("x-1", "-py3-none-any.whl"),
        file("y-1", ".tar.gz"),
    );
    Lock::parse(&text, &[]).unwrap()
}

#[test]
fn hashes_are_enforced() {
    let sdist = Digest::of("x-1.tar.gz");
    let y = Digest::of("y-1.tar.gz");
    let inputs =
        of(&format!("x==1 --hash=sha256:{sdist}\n -c c \n").replace(" -c c \n", "")).unwrap();
    let error = inputs.hashes.enforce(&mut lock()).unwrap_err();
    assert!(error.to_string().contains("`y==1` has none"), "{error}");

    let inputs = of(&format!(
        "x==1 \\\n  --hash=sha256:{sdist}\ny==1 --hash sha256:{y}"
    ))
    .unwrap();
    let mut found = lock();
    inputs.hashes.enforce(&mut found).unwrap();
    assert!(found.packages[0].wheels.is_empty() && found.packages[0].sdist.is_some());

    let inputs = of(&format!("x==1 --hash=sha256:{y}\ny==1 --hash=sha256:{y}")).unwrap();
    let error = inputs.hashes.enforce(&mut lock()).unwrap_err();
    assert_eq!(error.kind(), ResolveErrorKind::HashMismatch);
    assert!(
        error.to_string().contains("x-1-py3-none-any.whl"),
        "{error}"
    );

    assert!(
        of("--require-hashes\nx")
            .unwrap()
            .hashes
            .enforce(&mut lock())
            .is_err()
    );
    assert!(of("x").unwrap().hashes.enforce(&mut lock()).is_ok());
}

#[test]
fn formats_are_followed() {
    let mut found = lock();
    of("--no-binary :all:\nx")
        .unwrap()
        .formats
        .apply(&mut found);
    assert!(
        found
            .packages
            .iter()
            .all(|package| package.wheels.is_empty())
    );
    let mut found = lock();
    of("--only-binary x\nx").unwrap().formats.apply(&mut found);
    assert!(found.packages[0].sdist.is_none() && found.packages[1].sdist.is_some());
}

fn choice(extras: &[&str], groups: &[&str]) -> Choice {
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    Choice {
        extras: names(extras),
        all_extras: false,
        groups: names(groups),
    }
}

fn pyproject(text: &str, choice: &Choice) -> Result<Inputs, ResolveError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pyproject.toml");
    fs_err::write(&path, text).unwrap();
    chosen(&path, choice)
}

const PYPROJECT: &str = "
[project]
name = 'Me'
requires-python = '>=3.10'
dependencies = ['a>1', 'b @ ./b']
[project.optional-dependencies]
html = ['c']
all = ['me[html,all]', 'd']
[dependency-groups]
test = ['e', {include-group = 'Lint'}, {include-group = 'lint'}]
lint = ['f']
round = [{include-group = 'round'}]
";

#[test]
fn a_pyproject_with_its_extras_and_groups() {
    let inputs = pyproject(PYPROJECT, &Choice::default()).unwrap();
    assert_eq!(texts(&inputs.requirements), ["a>1"]);
    assert_eq!(inputs.sources.len(), 1);
    assert!(inputs.pythons[0].check("3.11".parse().unwrap()).is_ok());
    let error = inputs.pythons[0].check("3.9".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains(">=3.10"), "{error}");

    let inputs = pyproject(PYPROJECT, &choice(&["ALL"], &["test"])).unwrap();
    assert_eq!(texts(&inputs.requirements), ["a>1", "c", "d", "e", "f"]);
    let all = Choice {
        all_extras: true,
        ..Choice::default()
    };
    let inputs = pyproject(PYPROJECT, &all).unwrap();
    assert_eq!(texts(&inputs.requirements), ["a>1", "c", "d"]);
    // Groups need no project.
    let inputs = pyproject("[dependency-groups]\nx = ['a']", &choice(&[], &["x"])).unwrap();
    assert_eq!(texts(&inputs.requirements), ["a"]);
}

#[test]
fn a_pyproject_that_does_not_say_enough() {
    for (text, choice, says) in [
        (PYPROJECT, choice(&["pdf"], &[]), "no extra `pdf`"),
        (
            PYPROJECT,
            choice(&[], &["docs"]),
            "no dependency group `docs`",
        ),
        (PYPROJECT, choice(&[], &["round"]), "includes itself"),
        (
            "[project]\nname='x'\ndynamic=['dependencies']",
            choice(&[], &[]),
            "dynamic",
        ),
        ("[tool.poetry]\nname='x'", choice(&[], &[]), "no [project]"),
        (
            "[project]\nname='x'\ndependencies=['a']\n[tool.uv.sources]\na={path='a'}",
            choice(&[], &[]),
            "[tool.uv.sources]",
        ),
        ("[project", choice(&[], &[]), "pyproject.toml"),
    ] {
        let error = pyproject(text, &choice).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains("pyproject.toml"), "{error}");
    }
}

#[test]
fn files_of_other_tools_lead_to_one_that_is_read() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["poetry.lock", "Pipfile", "setup.py", "other.toml", "x.lock"] {
        let error = read(&directory.path().join(name)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint_text().is_some(), "{name}");
    }
}

const PYLOCK: &str = "
lock-version = '1.0'
created-by = 'test'
requires-python = '>=3.9'
environments = [\"sys_platform == 'linux'\"]
extras = ['html']
dependency-groups = ['dev', 'docs']
default-groups = ['dev']
[[packages]]
name = 'a'
version = '2'
marker = \"python_version >= '3.11'\"
sdist = {path = 'files/a-2.tar.gz', hashes = {sha256 = 'HASH'}}
[[packages]]
name = 'a'
version = '1'
marker = \"python_version < '3.11'\"
sdist = {url = 'https://h/a-1.tar.gz', hashes = {sha256 = 'HASH'}}
[[packages]]
name = 'b'
version = '1'
marker = \"'html' in extras\"
sdist = {url = 'https://h/b-1.tar.gz', hashes = {sha256 = 'HASH'}}
[[packages]]
name = 'c'
marker = \"'dev' in dependency_groups\"
directory = {path = 'c'}
[[packages]]
name = 'd'
marker = \"'docs' in dependency_groups\"
vcs = {type = 'git', url = 'https://h/d', commit-id = '0123456789012345678901234567890123456789', subdirectory = 'py'}
";

fn pylock(text: &str, choice: &Choice) -> Result<InputLock, ResolveError> {
    let text = text.replace("HASH", &Digest::of("a").to_string());
    InputLock::parse(&text, Path::new("/locks/pylock.toml"), choice)
}

#[test]
fn markers_choose_from_a_lock() {
    let names = |choice: &Choice, python: &str| {
        let lock = pylock(PYLOCK, choice).unwrap();
        let target = "manylinux_2_36_x86_64".parse().unwrap();
        let packages = lock.for_cell(python.parse().unwrap(), target).unwrap();
        let name = |package: &&super::InputPackage| {
            let version = package.version.as_ref();
            format!(
                "{} {}",
                package.name,
                version.map(ToString::to_string).unwrap_or_default()
            )
        };
        packages.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&Choice::default(), "3.11"), ["a 2", "c "]);
    assert_eq!(
        names(&choice(&["HTML"], &["docs"]), "3.9"),
        ["a 1", "b 1", "c ", "d "]
    );
    let lock = pylock(PYLOCK, &Choice::default()).unwrap();
    let sdist = lock.packages[0]
        .locked("2".parse().unwrap())
        .unwrap()
        .sdist
        .unwrap();
    assert_eq!(sdist.url, "file:///locks/files/a-2.tar.gz");
    let place = |index: usize| lock.packages[index].wish.clone().unwrap().place;
    assert_eq!(
        place(3),
        Place::Path {
            path: "/locks/c".into(),
            subdirectory: None
        }
    );
    let Place::Git {
        reference,
        subdirectory,
        ..
    } = place(4)
    else {
        panic!("not a repository");
    };
    assert_eq!(reference.unwrap().len(), 40);
    assert_eq!(subdirectory.as_deref(), Some("py"));
}

#[test]
fn locks_that_do_not_fit_are_refused() {
    let refused = |text: &str, choice: &Choice, python: &str| {
        let target = "manylinux_2_36_x86_64".parse().unwrap();
        let lock = pylock(text, choice)?;
        lock.for_cell(python.parse().unwrap(), target).map(|_| ())
    };
    let nothing = Choice::default();
    for (text, choice, says) in [
        (PYLOCK.to_owned(), choice(&["x"], &[]), "no extra `x`"),
        (
            PYLOCK.to_owned(),
            choice(&[], &["x"]),
            "no dependency group `x`",
        ),
        (
            PYLOCK.replace("'linux'", "'darwin'"),
            nothing.clone(),
            "is not for",
        ),
        (
            PYLOCK.replace("< '3.11'", "< '3.12'"),
            nothing.clone(),
            "more than once",
        ),
        (
            PYLOCK.replace("python_version <", "shoe_size <"),
            nothing.clone(),
            "marker",
        ),
        (
            PYLOCK.replace("type = 'git'", "type = 'svn'"),
            nothing.clone(),
            "svn",
        ),
        (
            PYLOCK.replace("sha256", "md5"),
            nothing.clone(),
            "no sha256",
        ),
        (PYLOCK.replace("'py'", "'../py'"), nothing.clone(), "inside"),
    ] {
        let error = refused(&text, &choice, "3.11").unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains("pylock.toml"), "{error}");
    }
    let error = refused(PYLOCK, &nothing, "3.8").unwrap_err();
    assert!(error.to_string().contains(">=3.9"), "{error}");
}
