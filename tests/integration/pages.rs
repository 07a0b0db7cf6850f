//! Pages for people in a real browser: by day, by night and on a phone; with a keyboard, and without scripts.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::DateTime;
use wheelfarm_build::history;
use wheelfarm_build::records::{BuildOutcome, HistoryRecord};
use wheelfarm_index::registry::{Channel, Event, Yank};
use wheelfarm_store::Store;
use wheelfarm_tests::browser::{Browser, View};
use wheelfarm_tests::compiled::downloaded;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::outdated::{Library, outdated};
use wheelfarm_tests::server::Server;
use wheelfarm_tests::showcase::Showcase;
use wheelfarm_tests::wheel;
use wheelfarm_types::Digest;

const CHECKS: &str = include_str!("../src/checks.js");
/// Contrast is left to our own check, which knows what is behind texts in pictures and takes a tenth of the time.
const AXE: &str = "const done = arguments[0]; \
     axe.run({ rules: { 'color-contrast': { enabled: false } } }).then( \
     (it) => done(it.violations.map((one) => `axe ${one.id}: ${one.nodes[0].html.slice(0, 200)}`)), \
     (error) => done([`axe: ${error}`]))";
const TAB: char = '\u{e004}';

/// A store with something for every page: a real wheel, a project with many versions, a failed build, hostile texts.
async fn fill(farm: &Farm, real: &Path) {
    let main = Channel::main();
    let showcase = Showcase::open(
        farm.store(),
        DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
    )
    .await
    .unwrap();
    showcase.wheel(&main, real).await.unwrap();
    showcase
        .wheel(&"staging".parse().unwrap(), real)
        .await
        .unwrap();
    let mut names = BTreeMap::new();
    for version in 0..28 {
        for python in 11..14 {
            for platform in [
                "manylinux_2_28_x86_64",
                "manylinux_2_28_aarch64",
                "musllinux_1_2_x86_64",
            ] {
                let name =
                    format!("many_versions-{version}.0-cp3{python}-cp3{python}-{platform}.whl");
                names.insert(name, "Many versions of many files, and a summary that goes on for a while to see how it is broken");
            }
        }
    }
    let endless = format!("{}-1.0-py3-none-any.whl", "endless".repeat(12));
    names.insert(
        endless,
        "</p><script>document.title = 'hostile'</script><img src=x onerror=alert(1)>",
    );
    showcase.names(&main, &names).await.unwrap();
    let yanked = Event::Yanked {
        channel: main,
        project: "many-versions".parse().unwrap(),
        filename: "many_versions-27.0-cp313-cp313-manylinux_2_28_x86_64.whl".into(),
        yank: Some(Yank {
            reason: Some("it holds an old libxml2".into()),
        }),
    };
    showcase.commit(vec![yanked]).await.unwrap();
    stale_wheels(showcase.store(), real).await;
    let log = showcase
        .store()
        .put("gcc -c x.c\n\u{1b}[31mfatal error:\u{1b}[0m <pq.h> is missing\n".into());
    let record = HistoryRecord {
        project: "psycopg2-binary".parse().unwrap(),
        version: "2.9.10".parse().unwrap(),
        cell: "cp313-manylinux_2_36_x86_64".into(),
        raw_key: Digest::of("key"),
        outcome: BuildOutcome::Failed {
            reason: "its build ended with exit code 1".into(),
        },
        log: log.await.unwrap(),
        seconds: 75.0,
        finished: 1_790_000_000,
        execution: None,
    };
    history::append(showcase.store(), &record).await.unwrap();
}

/// Wheels whose libraries are not what there is now: the real one, with its true digest, and one with an endless name.
async fn stale_wheels(store: &Store, real: &Path) {
    let library = |soname, package, had, has| Library {
        soname,
        package,
        had,
        has,
    };
    let filename = real.file_name().unwrap().to_str().unwrap();
    let digest = Digest::of(fs_err::read(real).unwrap());
    let libraries = [
        library(
            "libpq.so.5",
            "libpq5",
            "15.8-0+deb12u1",
            Some("15.14-0+deb12u1"),
        ),
        library("libssl.so.3", "libssl3", "3.0.15-1~deb12u1", None),
        library(
            "liblber-2.5.so.0",
            "libldap-2.5-0",
            "2.5.13+dfsg-5",
            Some("2.5.13+dfsg-5"),
        ),
    ];
    outdated(store, &filename.parse().unwrap(), &digest, &libraries)
        .await
        .unwrap();
    let filename = "many_versions-26.0-cp311-cp311-manylinux_2_28_x86_64.whl";
    let libraries = [library(
        "libwith-quite-a-long-name-that-goes-on-6.so.12",
        "libwith-quite-a-long-name-that-goes-on-6t64",
        "1:20240722.0~git20240915.ab12cd34-1+deb12u2+b1",
        Some("1:20250814.1~git20250820.ef56ab78-3~deb12u1"),
    )];
    let digest = Digest::of(filename);
    outdated(store, &filename.parse().unwrap(), &digest, &libraries)
        .await
        .unwrap();
}

/// axe-core, as a package of the Python index carries it.
pub(crate) fn axe(farm: &Farm) -> String {
    let package = downloaded(&farm.work(), "axe-core-python==0.1.0").unwrap();
    String::from_utf8(wheel::read(&package, "axe_core_python/axe.min.js").unwrap()).unwrap()
}

/// What is wrong with the page that is shown.
pub(crate) fn looked_at(browser: &Browser, view: View, axe: &str) -> Vec<String> {
    let mut found = Vec::new();
    if view.width > 600 && !view.dark {
        browser.run(axe).unwrap();
        found.extend(texts(&browser.run_async(AXE).unwrap()));
    }
    // Folded parts are pages' parts, too.
    browser
        .run("for (const part of document.querySelectorAll('details')) part.open = true")
        .unwrap();
    found.extend(texts(&browser.run(CHECKS).unwrap()));
    // A page that says that nothing is there is a 404, which the browser notes.
    let complaints = browser.complaints().unwrap();
    found.extend(
        complaints
            .into_iter()
            .filter(|text| !text.contains("status of 404")),
    );
    found
}

fn texts(value: &serde_json::Value) -> Vec<String> {
    let list = value.as_array().unwrap_or_else(|| panic!("{value}"));
    list.iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn addresses(browser: &Browser, server: &Server, wheel: &str) -> Vec<String> {
    browser.open(&server.url("/builds/")).unwrap();
    let build = browser
        .run("return document.querySelector('tbody th a').getAttribute('href')")
        .unwrap();
    vec![
        "/".to_owned(),
        "/projects/".to_owned(),
        "/projects/?q=nothing+of+this".to_owned(),
        "/projects/many-versions/".to_owned(),
        "/projects/psycopg2-binary/".to_owned(),
        format!("/projects/psycopg2-binary/{wheel}"),
        format!("/projects/psycopg2-binary/{wheel}?channel=staging"),
        "/builds/".to_owned(),
        format!("/builds/{}", build.as_str().unwrap()),
        "/stale/".to_owned(),
        "/projects/nothing/".to_owned(),
    ]
}

#[test]
fn pages_are_for_everybody() {
    let farm = Farm::new().unwrap();
    // With a dozen vendored libraries.
    let wheel = downloaded(&farm.work(), "psycopg2-binary==2.9.10").unwrap();
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(fill(&farm, &wheel));
    let wheel = wheel.file_name().unwrap().to_str().unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let browser = Browser::start().unwrap();
    let axe = axe(&farm);
    let mut problems = Vec::new();
    let addresses = addresses(&browser, &server, wheel);
    for view in [View::DESK, View::DARK, View::PHONE] {
        browser.view(view).unwrap();
        for path in &addresses {
            browser.open(&server.url(path)).unwrap();
            problems.extend(
                looked_at(&browser, view, &axe)
                    .into_iter()
                    .map(|problem| format!("{path} at {view:?}: {problem}")),
            );
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));

    stale(&browser, &server);
    keyboard(&browser, &server);
    search(&browser, &server);
    without_scripts(&browser, &server, wheel);
}

/// Each library that is not as it was has a row, and nothing else has one.
fn stale(browser: &Browser, server: &Server) {
    browser.open(&server.url("/stale/")).unwrap();
    let rows = texts(
        &browser
            .run("return [...document.querySelectorAll('tbody tr')].map((row) => [...row.querySelectorAll('td')].map((it) => it.textContent).join('|'))")
            .unwrap(),
    );
    assert_eq!(
        rows,
        [
            "libwith-quite-a-long-name-that-goes-on-6.so.12|libwith-quite-a-long-name-that-goes-on-6t64 \
             1:20240722.0~git20240915.ab12cd34-1+deb12u2+b1|1:20250814.1~git20250820.ef56ab78-3~deb12u1|\
             debian-12 with many_versions-dev",
            "libpq.so.5|libpq5 15.8-0+deb12u1|15.14-0+deb12u1|debian-12 with psycopg2_binary-dev",
            "libssl.so.3|libssl3 3.0.15-1~deb12u1|nothing",
        ]
    );
}

/// What the focus is on is always seen, and the first stop leads past the navigation.
fn keyboard(browser: &Browser, server: &Server) {
    browser.view(View::DESK).unwrap();
    browser
        .open(&server.url("/projects/many-versions/"))
        .unwrap();
    let mut stops = Vec::new();
    for _ in 0..25 {
        browser.press(&TAB.to_string()).unwrap();
        let stop = browser
            .run(
                "const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect(); \
                 return { what: (it.textContent || it.id).trim().slice(0, 40), \
                 seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.bottom > 0 && box.top < innerHeight }",
            )
            .unwrap();
        assert_eq!(stop["seen"], true, "{stop}");
        stops.push(stop["what"].as_str().unwrap().to_owned());
    }
    assert_eq!(stops.first().map(String::as_str), Some("Skip to content"));
    stops.sort();
    stops.dedup();
    assert!(stops.len() > 10, "the focus is caught: {stops:?}");
    // `/` is the way to the search box, but where one types.
    browser.open(&server.url("/")).unwrap();
    browser.press("/x/").unwrap();
    assert_eq!(
        browser
            .run("return document.activeElement.id + document.activeElement.value")
            .unwrap(),
        "qx/"
    );
}

/// The list follows what is typed, and so does the address.
fn search(browser: &Browser, server: &Server) {
    browser.open(&server.url("/projects/")).unwrap();
    browser.press("/psyc").unwrap();
    browser
        .wait_for("return document.querySelectorAll('#results tbody tr').length === 1 && location.search === '?q=psyc'")
        .unwrap();
    let said = browser
        .run("return document.querySelector('#results [role=status]').textContent")
        .unwrap();
    assert!(
        said.as_str().unwrap().starts_with("1 project for"),
        "{said}"
    );
    assert_eq!(browser.complaints().unwrap(), [""; 0]);
}

/// The same pages, where nothing runs in them: a form finds, and all of a wheel is there to read.
fn without_scripts(browser: &Browser, server: &Server, wheel: &str) {
    browser.allow_scripts(false).unwrap();
    browser.open(&server.url("/projects/")).unwrap();
    browser.run("document.getElementById('q').focus()").unwrap();
    browser.press("psyc\u{e007}").unwrap();
    browser
        .wait_for("return location.search === '?q=psyc'")
        .unwrap();
    let rows = browser
        .run("return document.querySelectorAll('#results tbody tr').length")
        .unwrap();
    assert_eq!(rows, 1);
    browser
        .open(&server.url(&format!("/projects/psycopg2-binary/{wheel}")))
        .unwrap();
    let drawn = browser
        .run("return document.querySelectorAll('svg .node').length")
        .unwrap();
    assert!(drawn.as_u64().unwrap() > 15, "{drawn}");
    let copiers = browser
        .run("return document.querySelectorAll('.copier').length")
        .unwrap();
    assert_eq!(copiers, 0, "a button that does nothing");
}
