//! `wheelfarm export` hands out what builds left in the store, without an engine.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::{Farm, Run, pip_wheel, uv_wheel};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, farm_of, files, has_extension, needs_docker, only, wheels};

const BACKEND: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {NAME + \".py\": \"\"})\n";
const CELL: &str = "cp311-manylinux_2_36_x86_64";

/// A project that is built, and one that the index has a wheel of.
fn index() -> Index {
    let plain = pure_wheel("plain", "1.0", "").unwrap();
    Index::start()
        .unwrap()
        .with(&Sdist::with_backend("made", "1.0", &[], BACKEND))
        .unwrap()
        .with_file("plain", "plain-1.0-py3-none-any.whl", plain)
}

/// A farm on the store of `farm`, on a machine that has no engine, and whose index, the same one, is out of reach.
fn elsewhere(farm: &Farm, index: Index) -> Farm {
    let other = only(Farm::with_store(farm.store()).unwrap(), &index);
    drop(index);
    other.with("DOCKER_HOST", "unix:///nowhere.sock")
}

/// On the farm's own machine, where the index still answers.
fn at_home(farm: Farm) -> Farm {
    farm.with("DOCKER_HOST", "unix:///nowhere.sock")
}

fn export(farm: &Farm, more: &[&str]) -> Run {
    let uv = uv_wheel().unwrap().display().to_string();
    let base = [
        "export",
        "--python",
        "3.11",
        "--target",
        "manylinux_2_36_x86_64",
    ];
    let base = [&base[..], &["--format", "json", "--uv-wheel", &uv]].concat();
    farm.run([&base[..], more].concat()).unwrap()
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap()
}

/// Names that a test gives to images, and takes away at its end, however that comes.
struct Names<'a>(&'a Engine, &'a [&'a str]);

impl Drop for Names<'_> {
    fn drop(&mut self) {
        for name in self.1 {
            // A test that failed may not have come so far.
            self.0.remove_image(name).ok();
        }
    }
}

#[test]
fn an_export_is_what_the_build_wrote() {
    needs_docker!();
    let index = index();
    let farm = farm_of(&index);
    let arguments = ["made", "plain", "--image", "debian-12"];
    farm.build(arguments).unwrap().success().unwrap();
    let built = farm.out();

    let other = elsewhere(&farm, index);
    let run = export(&other, &["made", "plain"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let out = other.out();
    assert_eq!(files(&out), files(&built));
    assert_eq!(files(&out).len(), 4);
    for name in files(&out) {
        let (one, two) = (
            fs_err::read(built.join(&name)),
            fs_err::read(out.join(&name)),
        );
        assert_eq!(one.unwrap(), two.unwrap(), "{name}");
    }
    let report = json(&run);
    let origins = report["wheels"].as_array().unwrap().iter();
    let origins: Vec<_> = origins
        .map(|wheel| wheel["origin"].as_str().unwrap())
        .collect();
    assert_eq!(origins, ["cached", "index"]);

    // Whoever changes what was handed out does not change the store.
    let name = wheels(&out).remove(0);
    fs_err::write(out.join(&name), "other").unwrap();
    assert_eq!(export(&other, &["made", "plain"]).code, Some(0));
    assert_eq!(
        fs_err::read(out.join(&name)).unwrap(),
        fs_err::read(built.join(&name)).unwrap()
    );
}

#[test]
fn what_the_store_lacks_is_named_and_nothing_is_written() {
    needs_docker!();
    let lacking = Sdist::with_backend("lacking", "1.0", &[], BACKEND);
    let index = index().with(&lacking).unwrap();
    let farm = farm_of(&index);
    let arguments = ["made", "--image", "debian-12", "--no-prove"];
    farm.build(arguments).unwrap().success().unwrap();

    let farm = at_home(farm);
    fs_err::remove_dir_all(farm.out()).unwrap();
    let run = export(&farm, &["made", "plain", "lacking"]);
    let all = [
        &format!("made 1.0 {CELL}: to prove"),
        &format!("plain 1.0 {CELL}: to fetch"),
        &format!("lacking 1.0 {CELL}: to build"),
    ];
    failed(&run, 1, &all.map(String::as_str), &["`wheelfarm build`"]);
    assert!(!farm.out().exists());
    assert_eq!(json(&run)["missing"].as_array().unwrap().len(), 3);
    assert_eq!(json(&run)["wheelhouse"], Value::Null);

    // What was built without a proof is there for who says so.
    failed(&export(&farm, &["made"]), 1, &["to prove"], &["--no-prove"]);
    let run = export(&farm, &["made", "--no-prove"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(wheels(&farm.out()).len(), 1);
}

#[test]
fn a_part_of_what_was_built_counts_as_proved() {
    needs_docker!();
    let index = index();
    let farm = farm_of(&index);
    let arguments = ["made", "plain", "--image", "debian-12"];
    farm.build(arguments).unwrap().success().unwrap();
    let farm = at_home(farm);
    let out = farm.work().join("part").display().to_string();
    let run = export(&farm, &["made", "--out", &out, "--hard-links"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let part = farm.work().join("part");
    assert_eq!(wheels(&part).len(), 1);
    let metadata = fs_err::metadata(part.join(wheels(&part).remove(0))).unwrap();
    assert_eq!(metadata.nlink(), 2);
    assert!(metadata.permissions().readonly());
}

#[test]
fn an_image_of_the_wheelhouse_serves_a_dockerfile() {
    needs_docker!();
    let engine = Engine::connect().unwrap();
    let pip = pip_wheel().unwrap();
    let name = pip.file_name().unwrap().to_string_lossy();
    let index = index().with_file("pip", &name, fs_err::read(pip).unwrap());
    let farm = farm_of(&index);
    let wanted = ["made", "plain", "pip"];
    let arguments = [&wanted[..], &["--image", "debian-12"]].concat();
    farm.build(arguments).unwrap().success().unwrap();
    fs_err::remove_dir_all(farm.out()).unwrap();

    // By way of the engine that the program talks to, and by way of a file.
    let (one, two) = ("wheelfarm-tests-export-one", "wheelfarm-tests-export-two");
    let tag = "wheelfarm-tests-export-built";
    let all = [tag, one, two];
    let _names = Names(&engine, &all);
    let run = export(&farm, &[&wanted[..], &["--load", "--tag", one]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!farm.out().exists(), "only the image was asked for");
    let report = json(&run);
    let layers = engine.image_layers(one).unwrap();
    let said = report["image"]["layers"].as_array().unwrap();
    let said: Vec<_> = said
        .iter()
        .map(|layer| format!("sha256:{}", layer.as_str().unwrap()))
        .collect();
    assert_eq!(layers, said);
    assert_eq!(layers.len(), 4);
    let tar = farm.work().join("wheels.tar").display().to_string();
    let to_file = [&wanted[..], &["--tag", two, "--oci", &tar]].concat();
    assert_eq!(export(&farm, &to_file).code, Some(0));
    let archive = fs_err::read(&tar).unwrap();
    engine.load_image(&archive).unwrap();
    assert_eq!(engine.image_layers(two).unwrap(), layers);
    assert_eq!(export(&farm, &to_file).code, Some(0));
    assert_eq!(fs_err::read(&tar).unwrap(), archive);

    let dockerfile = format!(
        "FROM {two}:latest AS wheels\n\
         FROM wheelfarm/debian-12-runtime:x86_64\n\
         COPY --from=wheels /wheelhouse /wheelhouse\n\
         RUN python3 $(ls /wheelhouse/pip-*.whl)/pip install --no-index --find-links /wheelhouse --require-hashes \
             --target /app -r /wheelhouse/requirements-{CELL}.txt\n\
         RUN PYTHONPATH=/app python3 -c 'import made, plain, pip'\n"
    );
    let printed = engine.build_image(&dockerfile, &[], tag).unwrap();
    assert!(
        printed.contains("Successfully installed made-1.0"),
        "{printed}"
    );
}

#[test]
fn an_image_layout_is_the_same_twice() {
    needs_docker!();
    let index = index();
    let farm = farm_of(&index);
    farm.build(["plain", "--image", "debian-12"])
        .unwrap()
        .success()
        .unwrap();
    let other = elsewhere(&farm, index);
    let digest = |directory: &str| {
        let run = export(&other, &["plain", "--oci", directory]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        json(&run)["image"]["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest("one"), digest("two"));
    let blobs = |directory: &str| files(&other.work().join(directory).join("blobs/sha256"));
    assert_eq!(blobs("one"), blobs("two"));
    assert_eq!(blobs("one").len(), 4);
    let index = |directory: &str| fs_err::read(other.work().join(directory).join("index.json"));
    assert_eq!(index("one").unwrap(), index("two").unwrap());
}

/// A project with a console script, which prints where its Python is.
fn tool() -> Sdist {
    let backend = r#"
MODULE = "import sys\ndef main():\n    print('tool in', sys.prefix)\n"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    scripts = "[console_scripts]\ntool = tool:main\n"
    return write_wheel(directory, {"tool.py": MODULE, "tool-1.0.dist-info/entry_points.txt": scripts})
"#;
    Sdist::with_backend("tool", "1.0", &[], backend)
}

/// Something below a directory: path, kind and mode, time, and bytes or where a link leads.
type Found = (String, u32, i64, Vec<u8>);

/// Everything below a directory.
fn contents(directory: &Path) -> Vec<Found> {
    let mut all = Vec::new();
    for name in files(directory) {
        let path = directory.join(&name);
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let content = if metadata.is_symlink() {
            let target = fs_err::read_link(&path).unwrap();
            target.into_os_string().into_encoded_bytes()
        } else if metadata.is_dir() {
            let below = contents(&path).into_iter();
            all.extend(
                below
                    .map(|(path, mode, time, bytes)| (format!("{name}/{path}"), mode, time, bytes)),
            );
            Vec::new()
        } else {
            fs_err::read(&path).unwrap()
        };
        all.push((name, metadata.mode(), metadata.mtime(), content));
    }
    all
}

/// Fails if Python does not take the byte code that lies beside the modules, which say here that they do not.
const IMPORT: &str = r#"
import os, sys
import tool
print("from", tool.main.__code__.co_filename, os.path.basename(tool.__cached__))
listed = [str(file) for file in __import__("importlib.metadata").metadata.distribution("tool").files]
assert "__pycache__/" + os.path.basename(tool.__cached__) in listed, listed
"#;

#[test]
fn byte_code_is_the_same_twice_and_python_takes_it() {
    needs_docker!();
    let index = index().with(&tool()).unwrap();
    let farm = farm_of(&index);
    let arguments = ["tool", "plain", "--image", "debian-12"];
    farm.build(arguments).unwrap().success().unwrap();
    let at = |name: &str| farm.work().join(name);
    for (site, venv) in [("site-1", "venv-1"), ("site-2", "venv-2")] {
        let trees = ["--bytecode", "--site", site, "--venv", venv];
        let run = export(&farm, &[&["tool", "plain"][..], &trees].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    assert_eq!(contents(&at("site-1")), contents(&at("site-2")));
    assert_eq!(contents(&at("venv-1")), contents(&at("venv-2")));
    let compiled = contents(&at("site-1")).into_iter();
    let compiled: Vec<_> = compiled
        .filter(|(name, ..)| has_extension(name, "pyc"))
        .collect();
    assert_eq!(compiled.len(), 2);
    for (name, _, _, bytes) in &compiled {
        // Hash-based, and not to be checked (PEP 552).
        assert_eq!(bytes[4..8], [1, 0, 0, 0], "{name}");
        let module = name.strip_prefix("__pycache__/").unwrap();
        let source = format!("/app/{}.py", module.split('.').next().unwrap());
        let mut parts = bytes.windows(source.len());
        let says = parts.any(|part| part == source.as_bytes());
        assert!(says, "{name} does not name {source}");
    }
    let checks = at("check");
    fs_err::create_dir(&checks).unwrap();
    fs_err::write(checks.join("check.py"), CHECK).unwrap();
    fs_err::write(checks.join("import.py"), IMPORT).unwrap();
    // What another source says does not count: the byte code is taken as it is.
    let dockerfile = "FROM wheelfarm/debian-12-runtime:x86_64\n\
        COPY check /check\n\
        COPY site /app\n\
        COPY venv /opt/venv\n\
        RUN PYTHONPATH=/app python3 /check/check.py && /opt/venv/bin/python /check/check.py\n\
        RUN echo 'raise SystemExit(1)' >/app/tool.py && PYTHONPATH=/app python3 /check/import.py\n\
        RUN /opt/venv/bin/python -B -v /check/import.py 2>&1 | grep 'tool.cpython-311.pyc matches'\n\
        RUN /opt/venv/bin/tool\n";
    let (site, venv) = (at("site-1"), at("venv-1"));
    let directories = [
        ("check", checks.as_path()),
        ("site", &site),
        ("venv", &venv),
    ];
    let engine = Engine::connect().unwrap();
    let tag = "wheelfarm-tests-export-bytecode";
    let _names = Names(&engine, &[tag]);
    let printed = engine.build_image(dockerfile, &directories, tag).unwrap();
    assert_eq!(printed.matches("records are right").count(), 2, "{printed}");
    assert!(
        printed.contains("from /app/tool.py tool.cpython-311.pyc"),
        "{printed}"
    );
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);

    // A Python that is the image's own is no tree of files.
    let run = export(&farm, &["tool", "plain", "--python-tree", "python"]);
    failed(&run, 2, &["debian-12's own"], &["install it"]);
    assert!(!at("python").exists());
}

/// Fails if a file of a distribution is not what its RECORD says.
const CHECK: &str = r#"
import base64, hashlib, importlib.metadata
for name in ("tool", "plain"):
    for file in importlib.metadata.distribution(name).files:
        content = file.locate().read_bytes()
        if file.hash:
            found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            assert file.hash.value == found.decode(), file
print("records are right")
"#;

#[test]
fn trees_are_ready_to_run_where_there_is_no_installer() {
    needs_docker!();
    let index = index().with(&tool()).unwrap();
    let farm = farm_of(&index);
    let arguments = ["tool", "plain", "--image", "debian-12"];
    farm.build(arguments).unwrap().success().unwrap();
    let other = elsewhere(&farm, index);
    let at = |name: &str| other.work().join(name);
    for (site, venv) in [("site-1", "venv-1"), ("site-2", "venv-2")] {
        let run = export(&other, &["tool", "plain", "--site", site, "--venv", venv]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(!other.out().exists(), "only the trees were asked for");
    }
    assert_eq!(contents(&at("site-1")), contents(&at("site-2")));
    assert_eq!(contents(&at("venv-1")), contents(&at("venv-2")));
    let here = other.work().display().to_string();
    for tree in ["site-1", "venv-1"] {
        for (name, mode, time, content) in contents(&at(tree)) {
            let says_where = String::from_utf8_lossy(&content).contains(&here);
            assert!(!says_where, "{name} has a path of this machine");
            let is_link = mode & 0o170_000 == 0o120_000;
            assert!(
                is_link || [0o644, 0o755].contains(&(mode & 0o777)),
                "{name}: {mode:o}"
            );
            assert_eq!(time, 315_532_800, "{name}");
            let of_this_run = ["uv_cache.json", ".lock"]
                .iter()
                .any(|end| name.ends_with(end));
            assert!(!of_this_run && !has_extension(&name, "pyc"), "{name}");
        }
    }
    // A directory that is there is not written over.
    let again = export(&other, &["tool", "plain", "--site", "site-1"]);
    failed(
        &again,
        2,
        &["site-1 is there and not empty"],
        &["remove it"],
    );

    let check = at("check");
    fs_err::create_dir(&check).unwrap();
    fs_err::write(check.join("check.py"), CHECK).unwrap();
    let dockerfile = "FROM wheelfarm/debian-12-runtime:x86_64\n\
        COPY check /check\n\
        COPY site /app\n\
        COPY venv /opt/venv\n\
        RUN PYTHONPATH=/app /app/bin/tool && PYTHONPATH=/app python3 /check/check.py\n\
        ENV PATH=/opt/venv/bin:$PATH\n\
        RUN tool && python /check/check.py && python3.11 -c 'import plain'\n";
    let (site, venv) = (at("site-1"), at("venv-1"));
    let directories = [("check", check.as_path()), ("site", &site), ("venv", &venv)];
    let engine = Engine::connect().unwrap();
    let tag = "wheelfarm-tests-export-trees";
    let _names = Names(&engine, &[tag]);
    let printed = engine.build_image(dockerfile, &directories, tag).unwrap();
    for line in ["tool in /usr", "tool in /opt/venv"] {
        assert!(printed.contains(line), "{printed}");
    }
    assert_eq!(printed.matches("records are right").count(), 2, "{printed}");
}
