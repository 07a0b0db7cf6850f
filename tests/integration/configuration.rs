//! What the configuration changes of a build.

use wheelfarm_tests::environment::repository;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;
use wheelfarm_tests::wheel;

use crate::support::{failed, main_job, needs_docker, only, store_is_whole};

/// A back end that writes a module with what it sees: a text of the source, a variable, the network's interfaces.
const SEEING: &str = r#"
import socket

TEXT = "as published"

def build_wheel(directory, config_settings=None, metadata_directory=None):
    interfaces = sorted(name for _, name in socket.if_nameindex())
    seen = (TEXT, os.environ.get("SEEN"), interfaces)
    return write_wheel(directory, {"seeing.py": "seen = %r\n" % (seen,)})
"#;

/// Changes the text; its lines stand elsewhere in the file than it says.
const PATCH: &str = "--- a/backend.py\n+++ b/backend.py\n@@ -1,3 +1,3 @@\n \n-TEXT = \"as published\"\n+TEXT = \"as patched\"\n \n";

fn seeing() -> Index {
    let sdist = Sdist::with_backend("seeing", "1.0", &[], SEEING);
    Index::start().unwrap().with(&sdist).unwrap()
}

fn farm(index: &Index, configuration: &str) -> Farm {
    let farm = only(Farm::sharing().unwrap(), index);
    let farm = farm.configure(configuration).unwrap();
    fs_err::create_dir(farm.work().join("patches")).unwrap();
    fs_err::write(farm.work().join("patches/text.patch"), PATCH).unwrap();
    farm
}

#[test]
fn patches_variables_and_network() {
    needs_docker!();
    let index = seeing();
    let farm = farm(
        &index,
        r#"
        [package.seeing]
        patches = ["patches/text.patch"]
        network = true
        env = { SEEN = "package" }
        [[overrides]]
        select = "see* / cp311-*"
        env = { SEEN = "override" }
        "#,
    );
    let arguments = ["seeing", "--image", "debian-12"];
    let report = farm.build(arguments).unwrap().success().unwrap();
    let built = report.wheels.first().unwrap();
    let module = wheel::read(&built.path, "seeing.py").unwrap();
    let module = String::from_utf8(module).unwrap();
    assert!(
        module.starts_with("seen = ('as patched', 'override', ["),
        "{module}"
    );
    assert!(module.contains("'eth0'"), "{module}");
    assert_eq!(built.hermetic, Some(false));

    // All of it is in the key: nothing is taken for the same build, and the same is not built again.
    let run = farm.build(arguments).unwrap();
    let report = run.success().unwrap();
    assert_eq!(report.containers, 0);
    assert!(run.stderr.contains("built with network"), "{}", run.stderr);
    let set = ["--set", "package.seeing.network=false"];
    let run = farm.build([&arguments[..], &set].concat()).unwrap();
    let report = run.success().unwrap();
    let built = report.wheels.first().unwrap();
    let module = wheel::read(&built.path, "seeing.py").unwrap();
    assert_eq!(module, b"seen = ('as patched', 'override', ['lo'])\n");
    assert_eq!(
        (built.origin.as_str(), built.hermetic),
        ("built", Some(true))
    );
    store_is_whole(&farm);
}

#[test]
fn a_patch_that_does_not_apply_is_named() {
    needs_docker!();
    let index = seeing();
    let farm = farm(
        &index,
        "[package.seeing]\npatches = [\"patches/text.patch\", \"patches/again.patch\"]\n",
    );
    // Fuzz would let it through: the line before is another.
    let again = PATCH.replace(" \n-TEXT", " import socket\n-TEXT");
    fs_err::write(farm.work().join("patches/again.patch"), again).unwrap();
    let run = farm.build(["seeing", "--image", "debian-12"]).unwrap();
    let failures = failed(
        &run,
        3,
        &["seeing 1.0", "`patches/again.patch` does not apply"],
        &[],
    );
    assert!(failures.first().unwrap().log.is_some(), "{failures:?}");

    fs_err::remove_file(farm.work().join("patches/again.patch")).unwrap();
    let run = farm.build(["seeing", "--image", "debian-12"]).unwrap();
    failed(&run, 2, &["patches/again.patch"], &[]);
}

#[test]
fn libraries_that_are_left_to_the_system() {
    needs_docker!();
    main_job();
    // Both leave libpq out of the wheel; `system` also what libpq needs, which comes with its package.
    for (configuration, tag) in [
        ("vendor = \"system\"", "-manylinux_2_36_x86_64.whl"),
        ("exclude = [\"libpq.so.5\"]", "_x86_64.whl"),
    ] {
        let configuration = format!("[package.psycopg2]\n{configuration}\n");
        let farm = Farm::sharing().unwrap().configure(&configuration).unwrap();
        let arguments = ["psycopg2", "--python", "3.11"];
        let run = farm.build(arguments).unwrap();
        let report = run.success().unwrap();
        let wheel = report.wheels.first().unwrap();
        assert_eq!(wheel.vendored, [], "{configuration}");
        assert!(wheel.filename.ends_with(tag), "{}", wheel.filename);
        // It imports where the package is, and what was proved before stays proved.
        let proof = wheel.proof.as_ref().unwrap();
        assert!(
            proof.imported.contains(&"psycopg2._psycopg".to_owned()),
            "{proof:?}"
        );
        let list = farm
            .out()
            .join("runtime-packages-cp311-manylinux_2_36_x86_64.txt");
        assert_eq!(fs_err::read_to_string(&list).unwrap(), "libpq5\n");
        assert!(run.stderr.contains("libpq5"), "{}", run.stderr);
        let again = farm.build(arguments).unwrap().success().unwrap();
        assert_eq!(again.containers, 0);

        // One that carries its libraries needs nothing: the list goes.
        fs_err::write(farm.work().join("wheelfarm.toml"), "").unwrap();
        let run = farm.build(arguments).unwrap();
        assert!(
            run.success()
                .unwrap()
                .wheels
                .first()
                .unwrap()
                .vendored
                .len()
                > 1
        );
        assert!(!list.exists());
        assert!(
            run.stderr
                .contains("Python's own modules load the system's"),
            "{}",
            run.stderr
        );
    }
}

/// A back end that fails like a compiler where a header is not there.
const LACKING: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    if not os.path.exists("/usr/include/argon2.h"):
        sys.exit("x.c:1:10: fatal error: argon2.h: No such file or directory")
    return write_wheel(directory, {"lacking.py": ""})
"#;

#[test]
fn a_missing_package_is_looked_up_and_added() {
    needs_docker!();
    let sdist = Sdist::with_backend("lacking", "1.0", &[], LACKING);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::sharing().unwrap(), &index);
    // No table has it: the distribution's own index is asked, once.
    let run = farm.build(["lacking", "--image", "debian-12"]).unwrap();
    failed(
        &run,
        3,
        &["lacking 1.0", "the header `argon2.h` is not there"],
        &[
            "`libargon2-dev`",
            "--add-missing",
            "system.apt = [\"libargon2-dev\"]",
        ],
    );
    let run = farm
        .build(["lacking", "--image", "debian-12", "--add-missing"])
        .unwrap();
    let report = run.success().unwrap();
    let added = report.wheels.first().unwrap().added.as_ref().unwrap();
    assert_eq!(added.added, ["libargon2-dev"]);
    let lines = "    [package.lacking]\n    system.apt = [\"libargon2-dev\"]";
    assert!(run.stderr.contains(lines), "{}", run.stderr);
    // With these lines it is the same build.
    let farm = farm.configure(&lines.replace("    ", "")).unwrap();
    let run = farm.build(["lacking", "--image", "debian-12"]).unwrap();
    let report = run.success().unwrap();
    assert_eq!(report.containers, 0);
    assert!(report.wheels.first().unwrap().added.is_none());
}

#[test]
fn what_the_configuration_says_wrong_is_said_before_anything_runs() {
    let farm = Farm::new()
        .unwrap()
        .configure("[farm]\npyton = [\"3.11\"]\n")
        .unwrap();
    let run = farm.build(["seeing"]).unwrap();
    failed(
        &run,
        2,
        &["unknown key `pyton` in [farm]; did you mean `python`?"],
        &[],
    );
    assert!(!farm.cache().exists(), "something was begun");
    let run = farm.run(["config", "schema"]).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(
        schema
            .pointer("/properties/farm/properties/python")
            .is_some()
    );
}

#[test]
fn settings_of_remote_execution_engines_in_the_documentation_can_be_read() {
    let text = repository().join("docs/remote-execution-engines.md");
    let text = fs_err::read_to_string(text).unwrap();
    let blocks: Vec<_> = text.split("```").skip(1).step_by(2).collect();
    let blocks = blocks.iter().filter_map(|block| block.strip_prefix("toml"));
    let mut read = 0;
    for block in blocks {
        let farm = Farm::new().unwrap().configure(block).unwrap();
        let run = farm.run(["config", "show"]).unwrap();
        assert_eq!(run.code, Some(0), "{block}\n{}", run.stderr);
        read += 1;
    }
    assert!(read >= 7, "{read}");
}
