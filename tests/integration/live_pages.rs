//! A build as people follow it: asked for with a form, and its log on its page as it comes.

use std::collections::BTreeMap;

use chrono::DateTime;
use wheelfarm_index::registry::Channel;
use wheelfarm_tests::browser::{Browser, View};
use wheelfarm_tests::farm::{Farm, uv_wheel};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;
use wheelfarm_tests::server::Server;
use wheelfarm_tests::showcase::Showcase;

use crate::pages::{axe, looked_at};
use crate::support::{needs_docker, only};

/// Says a line now and then, for long enough to be watched.
const TALKS: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):
    for number in range(1, 61):
        print(f'cc -c part{number}.c -O2 -fPIC -DNDEBUG -Wall -o build/temp.linux-x86_64-cpython-311/part{number}.o', flush=True)
        time.sleep(0.2)
    return write_wheel(directory, {NAME + \".py\": \"X = 1\"})
";
/// How often something is waited for, each time for ten seconds.
const PATIENCE: usize = 30;

#[test]
fn a_build_is_asked_for_and_followed_in_a_browser() {
    needs_docker!();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("wflive", "1.0", &[], TALKS))
        .unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(publish_older(&farm));
    let uv = uv_wheel().unwrap().display().to_string();
    let server = Server::start(&farm, &["--uv-wheel", &uv]).unwrap();
    let browser = Browser::start().unwrap();
    let axe = axe(&farm);
    know_token(&browser, &server, &token(&farm));

    let mut problems = Vec::new();
    let views = [View::DARK, View::PHONE, View::DESK];
    for view in views {
        browser.view(view).unwrap();
        browser.open(&server.url("/projects/wflive/")).unwrap();
        let found = looked_at(&browser, view, &axe);
        problems.extend(
            found
                .into_iter()
                .map(|it| format!("form at {view:?}: {it}")),
        );
    }
    ask(&browser);
    // Whatever is seen from here on was not loaded anew.
    browser
        .run(
            "window.stayed = true; window.heights = []; \
             new MutationObserver(() => heights.push(document.querySelector('.log').textContent.split('\\n').length)) \
                 .observe(document.querySelector('.log'), { childList: true })",
        )
        .unwrap();
    patiently(
        &browser,
        "return document.querySelector('.log').textContent.includes('part3.c')",
    );
    for view in views {
        browser.view(view).unwrap();
        let found = looked_at(&browser, view, &axe);
        problems.extend(
            found
                .into_iter()
                .map(|it| format!("running at {view:?}: {it}")),
        );
    }
    patiently(
        &browser,
        "return document.querySelector('#now .badge').textContent === 'done' \
            && document.querySelector('.log').textContent.includes('part60.c')",
    );
    for view in views {
        browser.view(view).unwrap();
        let found = looked_at(&browser, view, &axe);
        problems.extend(
            found
                .into_iter()
                .map(|it| format!("done at {view:?}: {it}")),
        );
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(browser.run("return window.stayed").unwrap(), true);
    // The end is in sight.
    let hidden = browser
        .run("const log = document.querySelector('.log'); return log.scrollHeight - log.scrollTop - log.clientHeight")
        .unwrap();
    assert!(hidden.as_f64().unwrap() < 40.0, "{hidden}");
    let phases = browser
        .run("return [...document.querySelectorAll('#now td .badge')].map((it) => it.textContent).join()")
        .unwrap();
    assert_eq!(phases, "done,done");
    // Lines came one after the other, and each once.
    let steps = browser.run("return new Set(heights).size").unwrap();
    assert!(steps.as_u64().unwrap() > 5, "{steps}");
    let lines = browser
        .run("return document.querySelector('.log').textContent.split('\\n').filter((line) => line.includes('cc -c part')).length")
        .unwrap();
    assert_eq!(lines, 60);
    let published = browser
        .run("return document.querySelector('#now .file').textContent")
        .unwrap();
    assert!(
        published.as_str().unwrap().starts_with("wflive-1.0-"),
        "{published}"
    );
}

/// Publishes another version, so that the project has a page.
async fn publish_older(farm: &Farm) {
    let time = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let showcase = Showcase::open(farm.store(), time).await.unwrap();
    let name = "wflive-0.9-cp313-cp313-manylinux_2_28_x86_64.whl".to_owned();
    let names = BTreeMap::from([(name, "It talks while it is built")]);
    showcase.names(&Channel::main(), &names).await.unwrap();
}

fn token(farm: &Farm) -> String {
    let words = ["token", "create", "--scope", "build"];
    let run = farm.run(words).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout.lines().last().unwrap().to_owned()
}

/// Gives the browser a token, as somebody types it who is asked for one.
fn know_token(browser: &Browser, server: &Server, token: &str) {
    let bare = server.url("/login").replacen("http://", "", 1);
    browser
        .open(&format!("http://__token__:{token}@{bare}"))
        .unwrap();
    browser
        .wait_for("return location.pathname === '/'")
        .unwrap();
}

/// Sends the form as it is; no script does anything for it.
fn ask(browser: &Browser) {
    browser
        .run("document.querySelector('form.ask button').focus()")
        .unwrap();
    browser.press("\u{e007}").unwrap();
    patiently(browser, "return location.pathname.startsWith('/builds/')");
}

/// Waits for long: images and environments are made meanwhile.
fn patiently(browser: &Browser, script: &str) {
    let came = (0..PATIENCE).any(|_| browser.wait_for(script).is_ok());
    let shown = || browser.run("return document.body.innerText").unwrap();
    assert!(
        came,
        "this did not come true: {script}; the page: {}",
        shown()
    );
}
