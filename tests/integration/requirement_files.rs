//! Requirements files with what pip's have: hashes, options, includes.

use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, files, needs_docker, only};

const BACKEND: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {NAME + \".py\": \"\"})\n";

/// An index with `one` 1.0 and 2.0, and `two`, which is there as a wheel and as a source distribution.
fn index() -> Index {
    let wheel = pure_wheel("two", "1.0", "").unwrap();
    Index::start()
        .unwrap()
        .with(&Sdist::with_backend("one", "1.0", &[], BACKEND))
        .unwrap()
        .with(&Sdist::with_backend("one", "2.0", &[], BACKEND))
        .unwrap()
        .with(&Sdist::with_backend("two", "1.0", &[], BACKEND))
        .unwrap()
        .with_file("two", "two-1.0-py3-none-any.whl", wheel)
}

fn write(farm: &Farm, name: &str, text: &str) {
    fs_err::write(farm.work().join(name), text).unwrap();
}

fn build(farm: &Farm) -> Run {
    farm.build([
        "-r",
        "requirements.txt",
        "--image",
        "debian-12",
        "--no-prove",
    ])
    .unwrap()
}

#[test]
fn hashes_includes_and_options() {
    needs_docker!();
    let index = index();
    // The index is named by the file alone.
    let elsewhere = Index::start().unwrap();
    let farm = only(Farm::sharing().unwrap(), &elsewhere).with("MY_INDEX", &index.url());
    let hash = |sdist: Sdist| wheelfarm_tests::sha256(&sdist.bytes().unwrap());
    let one = hash(Sdist::with_backend("one", "1.0", &[], BACKEND));
    let two = hash(Sdist::with_backend("two", "1.0", &[], BACKEND));
    write(
        &farm,
        "requirements.txt",
        &format!(
            "--index-url ${{MY_INDEX}}\n-c constraints.txt\n-r more.txt\none --hash=sha256:{one}\nno-such-project==1 ; python_version < '3' \\\n    --hash=sha256:{one}\n"
        ),
    );
    write(&farm, "constraints.txt", "one<2\n");
    write(
        &farm,
        "more.txt",
        &format!("--no-binary two\ntwo==1.0 \\\n    --hash=sha256:{two}\n"),
    );
    let report = build(&farm).success().unwrap();
    let built: Vec<_> = report
        .wheels
        .iter()
        .map(|wheel| {
            (
                wheel.project.as_str(),
                wheel.version.as_str(),
                wheel.origin.as_str(),
            )
        })
        .collect();
    assert_eq!(built, [("one", "1.0", "built"), ("two", "1.0", "built")]);

    // With another hash, the same file is refused: nothing is built of a file that nobody vouches for.
    write(
        &farm,
        "requirements.txt",
        &format!("--index-url ${{MY_INDEX}}\none==1.0 --hash=sha256:{two}\n"),
    );
    failed(
        &build(&farm),
        3,
        &["one==1.0", "one-1.0.tar.gz"],
        &["pin with"],
    );
    write(
        &farm,
        "requirements.txt",
        &format!("--index-url ${{MY_INDEX}}\none==1.0 --hash=sha256:{one}\ntwo\n"),
    );
    failed(&build(&farm), 2, &["two==1.0"], &["--generate-hashes"]);
}

#[test]
fn the_index_of_uvs_own_configuration() {
    needs_docker!();
    let (first, second) = (index(), index());
    let elsewhere = Index::start().unwrap();
    let farm = only(Farm::sharing().unwrap(), &elsewhere).with("UV_DEFAULT_INDEX", "");
    let configure = |index: &Index| {
        let text = format!("[tool.uv]\nindex-url = \"{}\"\n", index.url());
        write(&farm, "pyproject.toml", &text);
    };
    write(&farm, "requirements.txt", "two\n");
    configure(&first);
    build(&farm).success().unwrap();
    drop(first);
    // The lock of the first index is no answer for the second, nor is one needed for what did not change.
    build(&farm).success().unwrap();
    configure(&second);
    build(&farm).success().unwrap();
    configure(&elsewhere);
    failed(&build(&farm), 2, &["two"], &["index"]);
}

#[test]
fn what_cannot_be_followed_is_said_before_anything_starts() {
    needs_docker!();
    let index = index();
    let farm = only(Farm::sharing().unwrap(), &index);
    for (text, says, hint) in [
        ("one\n--prefer-binary\n", "line 2", "--only-binary"),
        ("one -C a=b\n", "`-C`", "wheelfarm.toml"),
        ("-r https://localhost/r.txt\n", "line 1", "download"),
        ("hg+https://localhost/r\n", "Git", "directory"),
    ] {
        write(&farm, "requirements.txt", text);
        failed(&build(&farm), 2, &["requirements.txt", says], &[hint]);
    }
    assert_eq!(files(&farm.out()), [""; 0]);
}
