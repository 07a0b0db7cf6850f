//! A run that is killed or interrupted leaves nothing that the next one minds.

use std::time::{Duration, Instant};

use wheelfarm_tests::docker::{Engine, FarmContainer, Moment};
use wheelfarm_tests::engines::Kind;
use wheelfarm_tests::environment::variable;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process::{Running, wait_for};
use wheelfarm_tests::sdist::Sdist;

use crate::support::{
    farm_of, files, has_extension, main_job, needs_docker, on_every_engine, only, store_is_whole,
    wheels,
};

on_every_engine!(after_kill_nine_at_any_point_the_next_run_finishes);

/// How many runs are killed.
const KILLS: usize = 10;

/// Where runs are killed: other points each time, the same again with `WHEELFARM_TEST_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let seed = variable("WHEELFARM_TEST_SEED").map(|seed| seed.parse().unwrap());
        let seed = seed.unwrap_or_else(|| Moment::now().unwrap().nanoseconds());
        #[expect(clippy::print_stderr, reason = "to repeat what failed")]
        {
            eprintln!("WHEELFARM_TEST_SEED={seed}");
        }
        Self(seed | 1)
    }

    /// Any number (xorshift64*).
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Between 0 and 1.
    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.number() >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

/// Waits until a container of the farm builds something.
fn wait_for_build(engine: &Engine, farm: &Farm, running: &mut Running) -> FarmContainer {
    wait_for("a build container", Duration::from_secs(300), || {
        assert!(
            !running.has_ended()?,
            "the build ended before it could be disturbed"
        );
        let containers = engine.farm_containers(&farm.cache())?;
        let building = |container: &FarmContainer| {
            container.action.starts_with("build ") && container.state == "running"
        };
        Ok(containers.into_iter().find(building))
    })
    .unwrap()
}

#[test]
fn after_kill_nine_the_next_run_cleans_up_and_finishes() {
    needs_docker!();
    let first = main_job();
    let engine = Engine::connect().unwrap();
    let farm = Farm::new().unwrap();
    let arguments = ["psycopg2", "--python", "3.11", "--no-prove"];
    let mut running = farm.start_build(arguments).unwrap();
    let container = wait_for_build(&engine, &farm, &mut running);
    running.signal("KILL").unwrap();
    let killed = farm.finish(running).unwrap();
    assert_eq!(killed.code, None, "{}", killed.stderr);
    assert!(
        engine
            .farm_containers(&farm.cache())
            .unwrap()
            .contains(&container),
        "nothing was left to clean up"
    );
    assert_eq!(files(&farm.out()), [""; 0]);
    store_is_whole(&farm);

    let report = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);
    assert_eq!(engine.farm_volumes(&farm.cache()).unwrap(), [""; 0]);
    store_is_whole(&farm);
    let (one, two) = (
        report.wheel("psycopg2", "3.11"),
        first.report.wheel("psycopg2", "3.11"),
    );
    assert_eq!(one.unwrap().sha256, two.unwrap().sha256);
}

/// Builds that take a moment, so that several are under way at a time.
const UNHURRIED: &str = "
def build_wheel(directory, config_settings=None, metadata_directory=None):
    time.sleep(0.3)
    return write_wheel(directory, {NAME + '.py': '', 'data': str(list(range(10000)))})
";

fn after_kill_nine_at_any_point_the_next_run_finishes(kind: Kind) {
    let mut random = Random::new();
    // Each round has packages of its own: nothing of them is in the store.
    let rounds: Vec<_> = (0..=KILLS)
        .map(|round| ["a", "b"].map(|name| format!("round{round}{name}")))
        .collect();
    let mut index = Index::start().unwrap();
    for project in rounds.iter().flatten() {
        index = index
            .with(&Sdist::with_backend(project, "1.0", &[], UNHURRIED))
            .unwrap();
    }
    let farm = only(kind.farm().unwrap(), &index);
    let options = ["--image", "debian-12", "--jobs", "2", "--no-prove"];
    let arguments = |round: &[String; 2]| {
        let options = options.map(str::to_owned).into_iter();
        round.iter().cloned().chain(options).collect::<Vec<_>>()
    };
    // The first round, killed early, also makes the environment; the second says how long the others take.
    let mut whole = Duration::from_secs(10);
    let mut killed = 0;
    for (number, round) in rounds.iter().enumerate() {
        let start = Instant::now();
        let mut running = farm.start_build(arguments(round)).unwrap();
        if number != 1 {
            let point = whole.mul_f64(random.fraction());
            while start.elapsed() < point && !running.has_ended().unwrap() {
                std::thread::sleep(Duration::from_millis(5));
            }
            if running.has_ended().unwrap() {
                // The machine has got faster.
                whole = start.elapsed();
            }
            running.signal("KILL").ok();
        }
        let run = farm.finish(running).unwrap();
        if number == 1 {
            run.success().unwrap();
            whole = start.elapsed();
            continue;
        }
        if run.code.is_none() {
            killed += 1;
            kind.wait_for_end(&farm).unwrap();
            store_is_whole(&farm);
        }
        let next = farm.build(arguments(round)).unwrap();
        let report = next.success().unwrap();
        let said = format!("round {number}: {}", next.stderr);
        assert_eq!(report.wheels.len(), 2, "{said}");
        assert_eq!(kind.left(&farm).unwrap(), [""; 0], "{said}");
        let runs = files(&farm.cache().join("runs"));
        let locks = runs.iter().filter(|name| has_extension(name, "lock"));
        assert_eq!(locks.count(), 0, "{said}");
    }
    store_is_whole(&farm);
    assert_eq!(wheels(&farm.out()).len(), 2 * rounds.len());
    assert!(killed > KILLS / 2, "only {killed} runs lived to be killed");
}

#[test]
fn ctrl_c_removes_everything_and_ends() {
    needs_docker!();
    let endless = Sdist::with_backend(
        "endless",
        "1.0",
        &[],
        "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    time.sleep(10**6)\n",
    );
    let index = Index::start().unwrap().with(&endless).unwrap();
    let engine = Engine::connect().unwrap();
    let farm = farm_of(&index);
    let mut running = farm
        .start_build(["endless", "--image", "debian-12"])
        .unwrap();
    wait_for_build(&engine, &farm, &mut running);
    let interrupted = Instant::now();
    running.signal("INT").unwrap();
    let output = running.finish(Duration::from_secs(60)).unwrap();
    // Less than 2 s on a quiet machine; nothing but the engine's own work on a busy one.
    let took = interrupted.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(output.status.code(), Some(130), "{}", output.stderr);
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);
    assert_eq!(engine.farm_volumes(&farm.cache()).unwrap(), [""; 0]);
    let runs = files(&farm.cache().join("runs"));
    assert!(
        !runs.iter().any(|name| has_extension(name, "lock")),
        "{runs:?}"
    );
    store_is_whole(&farm);
}
