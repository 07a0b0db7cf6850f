//! `wheelfarm index`, beside a server that sees what it does.

use std::time::Duration;

use serde_json::{Value, json};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::server::Server;
use wheelfarm_tests::shelf::{Shelf, SmallWheel};

const WHEEL: &str = "wfdep-1.0-py3-none-any.whl";

/// Runs `wheelfarm index` with words in one text.
fn index(farm: &Farm, words: &str) -> (Option<i32>, String, String) {
    let words = words.split(' ').map(|word| word.replace('_', " "));
    let run = farm
        .run(["index".to_owned()].into_iter().chain(words))
        .unwrap();
    (run.code, run.stdout, run.stderr)
}

fn succeed(farm: &Farm, words: &str) -> String {
    let (code, stdout, stderr) = index(farm, words);
    assert_eq!(code, Some(0), "{words}: {stderr}");
    stdout
}

#[test]
fn an_operator_moves_and_yanks_and_the_log_says_so() {
    let farm = Farm::new().unwrap();
    let shelf = Shelf::of(&farm).unwrap();
    let wheel = SmallWheel::new("wfdep", "1.0");
    shelf
        .put_in("staging", &wheel, "2024-01-01T00:00:00Z")
        .unwrap();
    let server = Server::start(&farm, &[]).unwrap();
    let page = |path: &str| server.ask("GET", path, "", "").unwrap();
    // The server follows the log.
    let sees = |path: &str, text: &str| {
        wait_for(text, Duration::from_secs(10), || {
            Ok(page(path).1.contains(text).then_some(()))
        })
        .unwrap();
    };
    assert_eq!(page("/simple/wfdep/").0, 404);
    let promoted = succeed(&farm, "promote wfdep==1.0 --from staging");
    assert_eq!(promoted.trim(), WHEEL);
    sees("/simple/wfdep/", WHEEL);
    let again = succeed(&farm, "promote wfdep==1.0 --from staging --format json");
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again, json!({"changed": [], "unchanged": [WHEEL]}));

    succeed(&farm, &format!("yank {WHEEL} --reason it_is_broken"));
    sees("/simple/wfdep/", "data-yanked=\"it is broken\"");
    succeed(&farm, "unyank wfdep==1");
    succeed(&farm, "status wfdep deprecated --reason old");
    sees("/simple/wfdep/", "content=\"deprecated\"");
    succeed(&farm, "delete wfdep==1.0");

    let (code, _, stderr) = index(&farm, "yank wfdep==2.0");
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains("`wfdep 2.0` is not in the channel `main`"),
        "{stderr}"
    );
    assert_eq!(index(&farm, "yank wfdep").0, Some(2));

    let log = succeed(&farm, "log wfdep --channel main");
    let said: Vec<_> = log
        .lines()
        .filter_map(|line| line.split("operator  ").nth(1))
        .collect();
    assert_eq!(
        said,
        [
            format!("published {WHEEL} in main"),
            format!("yanked {WHEEL} in main: it is broken"),
            format!("took back the yank of {WHEEL} in main"),
            "made wfdep deprecated in main: old".to_owned(),
            format!("deleted {WHEEL} in main"),
        ]
    );
    farm.run(["token", "create", "--scope", "read"]).unwrap();
    let log = succeed(&farm, "log --format json");
    let entries: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<_> = entries
        .iter()
        .map(|entry| entry["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=7).collect::<Vec<_>>());
    assert_eq!(entries[1]["file"]["origin"]["promoted"]["from"], "staging");
    assert_eq!(entries[6]["event"], "token-created");
    assert!(entries[6]["token"].get("digest").is_none());
}
