//! Who does what, and how much at a time: several processes on one store, what one failure takes with it.

use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{counting_ccache, failed, files, needs_docker, only, store_is_whole, wheels};

const EMPTY: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {NAME + \".py\": \"\"})\n";

#[test]
fn two_processes_on_one_store_make_nothing_twice() {
    needs_docker!();
    let sdist = Sdist::with_backend("wfonce", "1.0", &[], EMPTY);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let one = only(Farm::new().unwrap(), &index);
    let two = only(Farm::with_store(one.store()).unwrap(), &index);
    let arguments = ["wfonce", "--image", "debian-12"];
    let running = [&one, &two].map(|farm| (farm, farm.start_build(arguments).unwrap()));
    let [first, second] =
        running.map(|(farm, running)| farm.finish(running).unwrap().success().unwrap());
    // The environment, the build, the proof.
    assert_eq!(first.containers + second.containers, 3);
    let digests = [&first, &second].map(|report| report.wheels.first().unwrap().sha256.clone());
    assert_eq!(digests[0], digests[1]);
    assert_eq!(files(&one.store().join("leases")), [""; 0]);
    store_is_whole(&one);
}

#[test]
fn a_build_requirement_that_fails_takes_its_dependents_with_it_and_nobody_else() {
    needs_docker!();
    let broken = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    raise SystemExit('wfbase is broken')\n";
    let needs = ["wfbase"];
    let mut index = Index::start().unwrap();
    for sdist in [
        Sdist::with_backend("wfbase", "1.0", &[], broken),
        Sdist::with_backend("wfleft", "1.0", &needs, EMPTY),
        Sdist::with_backend("wfright", "1.0", &needs, EMPTY),
        Sdist::with_backend("wffree", "1.0", &[], EMPTY),
    ] {
        index = index.with(&sdist).unwrap();
    }
    let farm = only(Farm::new().unwrap(), &index);
    let run = farm
        .build(["wfleft", "wfright", "wffree", "--image", "debian-12"])
        .unwrap();
    let failures = failed(&run, 3, &["wfbase 1.0", "wfbase is broken"], &[]);
    let mut jobs: Vec<_> = failures
        .iter()
        .filter_map(|failure| failure.job.split(' ').next())
        .collect();
    jobs.sort_unstable();
    assert_eq!(jobs, ["wfleft", "wfright"]);
    let wheels = wheels(&farm.out());
    assert_eq!(wheels.len(), 1, "{wheels:?}");
    assert!(wheels.first().unwrap().starts_with("wffree-"), "{wheels:?}");
    // The environment, the broken build once, the free one, its proof.
    assert_eq!(run.report().unwrap().containers, 4);
}

#[test]
fn a_job_is_told_its_share_of_the_cores_and_the_recipe_knows_better() {
    needs_docker!();
    let backend = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    names = ["MAKEFLAGS", "CMAKE_BUILD_PARALLEL_LEVEL", "MAX_JOBS", "CARGO_BUILD_JOBS", "NPY_NUM_BUILD_JOBS"]
    text = "".join("%s=%s\n" % (name, os.environ.get(name)) for name in names)
    return write_wheel(directory, {"wfshare.txt": text})
"#;
    let sdist = Sdist::with_backend("wfshare", "1.0", &[], backend);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::new().unwrap(), &index)
        .configure("[package.wfshare]\ncores = 1\nenv = { MAX_JOBS = \"7\" }\n")
        .unwrap();
    let report = farm
        .build(["wfshare", "--image", "debian-12", "-j", "1", "--no-prove"])
        .unwrap()
        .success()
        .unwrap();
    let wheel = report.wheels.first().unwrap();
    let text = wheelfarm_tests::wheel::read(&wheel.path, "wfshare.txt").unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "MAKEFLAGS=-j1\nCMAKE_BUILD_PARALLEL_LEVEL=1\nMAX_JOBS=7\nCARGO_BUILD_JOBS=1\nNPY_NUM_BUILD_JOBS=1\n"
    );
}

#[test]
fn a_build_that_reached_a_limit_is_tried_again_with_another_one() {
    needs_docker!();
    let backend = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    time.sleep(10**6)\n";
    let sdist = Sdist::with_backend("wfendless", "1.0", &[], backend);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    let run = |timeout| {
        let arguments = ["wfendless", "--image", "debian-12", "--timeout", timeout];
        let run = farm.build(arguments).unwrap();
        failed(&run, 3, &["wfendless 1.0", "time limit"], &[]);
        let remembered = run.stderr.contains("failed before");
        (remembered, run.report().unwrap().containers)
    };
    assert_eq!(run("3s"), (false, 2));
    assert_eq!(run("3s"), (true, 0));
    assert_eq!(run("4s"), (false, 1));
}

/// States of all processes of a container but its first and those of the command itself: `T` is stopped.
const STATES: &str = "for file in /proc/[0-9]*/stat; do read -r pid name state parent rest <$file; [ $pid = 1 ] || [ $pid = $$ ] || echo $state; done";

#[test]
fn a_failed_container_is_kept_on_request_and_can_be_looked_into() {
    needs_docker!();
    let broken = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    open("/build/trace", "w").write("was here")
    print("the last words", file=sys.stderr, flush=True)
    raise SystemExit(9)
"#;
    let endless = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    while True: pass\n";
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("wfbroken", "1.0", &[], broken))
        .unwrap()
        .with(&Sdist::with_backend("wfendless", "1.0", &[], endless))
        .unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    let engine = Engine::connect().unwrap();
    let kept = |project, timeout, said| {
        let options = ["--image", "debian-12", "--keep-failed", "--timeout"];
        let run = farm.build([&[project], &options[..], &[timeout]].concat());
        let failures = failed(&run.unwrap(), 3, &[said], &["docker exec -it "]);
        let [failure] = failures.try_into().unwrap();
        let hint = failure.hint.clone().unwrap();
        let container = hint.rsplit("`docker rm -f ").next().unwrap();
        let container = container.split('`').next().unwrap().to_owned();
        assert!(
            hint.contains(&format!("`docker exec -it {container} sh`")),
            "{hint}"
        );
        (failure, container)
    };
    let (failure, broken) = kept("wfbroken", "10m", "exit code");
    assert!(
        failure.tail.contains(&"the last words".to_owned()),
        "{failure:?}"
    );
    let (_, endless) = kept("wfendless", "4s", "time limit");

    // Another run of the same farm leaves them alone.
    farm.run(["images", "list"]).unwrap();
    let (code, printed) = engine.exec(&broken, &["cat", "/build/trace"]).unwrap();
    assert_eq!((code, printed.as_str()), (0, "was here"));
    let (code, printed) = engine.exec(&endless, &["sh", "-c", STATES]).unwrap();
    assert_eq!(code, 0, "{printed}");
    assert!(printed.lines().count() > 0, "nothing is left of it");
    assert!(printed.lines().all(|state| state == "T"), "{printed}");

    for container in [broken, endless] {
        engine.remove(&container).unwrap();
    }
    farm.run(["images", "list"]).unwrap();
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);
    assert_eq!(engine.farm_volumes(&farm.cache()).unwrap(), [""; 0]);
}

#[test]
fn a_compiler_cache_is_used_on_request_and_is_no_part_of_the_key() {
    needs_docker!();
    let sdist = counting_ccache();
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    let arguments = ["wfcached", "--image", "debian-12", "--no-prove"];
    for (variable, expected) in [("A=one", "0"), ("A=two", "1")] {
        let another_key = format!("package.wfcached.env.{variable}");
        let more = ["--compiler-cache", "--set", &another_key];
        let run = farm.build([&arguments[..], &more].concat()).unwrap();
        let report = run.success().unwrap();
        let path = &report.wheels.first().unwrap().path;
        let hits = wheelfarm_tests::wheel::read(path, "hits.txt").unwrap();
        assert_eq!(String::from_utf8(hits).unwrap(), expected);
        // What was built with it is found without it.
        let run = farm.build([&arguments[..], &more[1..]].concat()).unwrap();
        assert_eq!(run.success().unwrap().containers, 0);
    }
}
