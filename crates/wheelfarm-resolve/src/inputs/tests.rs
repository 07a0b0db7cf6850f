//! Requirements files as a whole.

use std::path::Path;

use wheelfarm_types::{Digest, Requirement};

use super::{Inputs, Place, Reader};
use crate::{Lock, ResolveError, ResolveErrorKind};

const TEXT: &str = "lock-version = \"1.0\"\ncreated-by = \"uv\"\n";

fn read(path: &Path) -> Result<Inputs, ResolveError> {
    let variables = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
    let reader = Reader {
        variables: &variables,
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
    Lock::parse(&text).unwrap()
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
