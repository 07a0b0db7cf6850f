//! The job graph on a farm that is made up: no engine, no index, a store in memory.

use wheelfarm_coordinator::{Report, plan, run};
use wheelfarm_tests::synthetic::{Package, Synthetic};

/// Runs asynchronous code to its end.
fn wait<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

fn package(name: &str, requires: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        requires: requires.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// How the wheels of a report came, by name: one word each, in order.
fn origins(report: &Report) -> Vec<(String, &'static str)> {
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let wheels = report.wheels.iter();
    wheels
        .map(|wheel| {
            let tag = wheel.cell.python.abi_tag();
            let name = format!("{} {tag}", wheel.artifact.project);
            (name, wheel.artifact.origin.as_str())
        })
        .collect()
}

#[test]
fn hundreds_of_jobs_are_built_once_each_after_what_they_need() {
    wait(async {
        let tools: Vec<_> = (0..20)
            .map(|n| match n {
                0 => package("tool-0", &[]),
                n => package(&format!("tool-{n}"), &[&format!("tool-{}", n / 2)]),
            })
            .collect();
        let jobs: Vec<_> = (0..300)
            .map(|n| package(&format!("job-{n}"), &[&format!("tool-{}", n % 20)]))
            .collect();
        let wanted: Vec<_> = jobs.iter().map(|job| job.name.as_str()).collect();
        let all = [tools.clone(), jobs.clone()].concat();
        let mut farm = Synthetic::new(&["3.11"], &[]).await.unwrap();
        let request = farm.request(&all, &wanted).await.unwrap();
        let report = run(&farm.context, &request).await;
        assert!(report.failures.is_empty(), "{:?}", report.failures.first());
        assert_eq!(report.wheels.len(), jobs.len());
        let built = farm.built();
        assert_eq!(built.len(), all.len(), "something was built twice");
        let place = |name: &str| {
            let job = format!("{name} 1.0 cp311-manylinux_2_36_x86_64");
            built.iter().position(|built| *built == job).unwrap()
        };
        for package in &all {
            for needed in &package.requires {
                assert!(place(needed) < place(&package.name), "{package:?}");
            }
        }
        // Another process with the same store has nothing to do, and knows it.
        farm.forget();
        let planned = plan(&farm.context, &request).await;
        let cell = planned.cells.first().unwrap();
        assert_eq!(cell.jobs.len(), jobs.len());
        assert!(cell.jobs.iter().all(|job| job.does() == "cached"));
        let report = run(&farm.context, &request).await;
        assert_eq!(report.wheels.len(), jobs.len());
        assert_eq!(farm.built(), [""; 0]);
    });
}

#[test]
fn a_wheel_for_all_pythons_is_built_for_the_lowest() {
    wait(async {
        let farm = Synthetic::new(&["3.13", "3.9", "3.11"], &[]).await.unwrap();
        let request = farm
            .request(&[package("pure", &[])], &["pure"])
            .await
            .unwrap();
        let report = run(&farm.context, &request).await;
        let mut found = origins(&report);
        found.sort();
        let of = |name: &str, origin| (name.to_owned(), origin);
        assert_eq!(
            found,
            [
                of("pure cp311", "reused"),
                of("pure cp313", "reused"),
                of("pure cp39", "built"),
            ]
        );
        assert_eq!(farm.built(), ["pure 1.0 cp39-manylinux_2_36_x86_64"]);
        let digests: Vec<_> = report
            .wheels
            .iter()
            .map(|wheel| wheel.artifact.wheel)
            .collect();
        assert!(digests.iter().all(|digest| Some(digest) == digests.first()));
    });
}

#[test]
fn a_wheel_for_one_python_is_built_for_each() {
    wait(async {
        let tags = [("cp39", "cp39-none-any"), ("cp311", "cp311-none-any")];
        let mut farm = Synthetic::new(&["3.9", "3.11", "3.13"], &tags)
            .await
            .unwrap();
        let one = [package("one", &[])];
        let request = farm.request(&one, &["one"]).await.unwrap();
        let report = run(&farm.context, &request).await;
        assert!(
            origins(&report)
                .iter()
                .all(|(_, origin)| *origin == "built"),
            "{:?}",
            origins(&report)
        );
        let built = farm.built();
        assert_eq!(built.first().unwrap(), "one 1.0 cp39-manylinux_2_36_x86_64");
        assert_eq!(built.len(), 3);
        farm.forget();
        let report = run(&farm.context, &request).await;
        assert!(
            origins(&report)
                .iter()
                .all(|(_, origin)| *origin == "cached")
        );
    });
}

#[test]
fn what_a_failure_leaves_possible_is_built() {
    wait(async {
        let farm = Synthetic::new(&["3.11"], &[]).await.unwrap();
        let packages = [
            package("hen", &["egg"]),
            package("egg", &["hen"]),
            package("good", &[]),
        ];
        let request = farm.request(&packages, &["hen", "good"]).await.unwrap();
        let report = run(&farm.context, &request).await;
        let [failure] = report.failures.as_slice() else {
            panic!("{:?}", report.failures);
        };
        let said = &failure.error.message;
        assert!(said.ends_with("hen 1.0 -> egg 1.0 -> hen 1.0"), "{said}");
        assert_eq!(report.wheels.len(), 1);
    });
}
