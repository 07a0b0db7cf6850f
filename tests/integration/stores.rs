//! `wheelfarm store`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process;

#[test]
fn a_store_is_listed_checked_collected_and_carried() {
    let farm = Farm::new().unwrap();
    let said = |farm: &Farm, words: &[&str]| {
        let run = farm.run(words).unwrap();
        assert_eq!(run.code, Some(0), "{words:?}: {}", run.stderr);
        run.stdout
    };
    said(&farm, &["token", "create", "--scope", "read"]);
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let blob = farm.store().join("blobs/sha256/2c").join(digest);
    fs_err::create_dir_all(blob.parent().unwrap()).unwrap();
    fs_err::write(&blob, "hello").unwrap();

    let listed = said(&farm, &["store", "ls"]);
    assert!(
        listed.contains("logs/index") && listed.contains("blobs"),
        "{listed}"
    );
    let listed = said(&farm, &["store", "ls", "blobs"]);
    assert!(listed.contains(digest), "{listed}");
    let gc = ["store", "gc", "--older-than", "1h", "--format", "json"];
    let told = said(&farm, &[gc.as_slice(), &["--dry-run"]].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    // It is younger than that.
    assert_eq!(told["moved"]["objects"], 0, "{told}");
    assert_eq!(told["kept"]["bytes"], 5, "{told}");

    said(&farm, &["store", "export", "all.tar"]);
    let archive = farm.work().join("all.tar");
    let other = Farm::new().unwrap();
    said(&other, &["store", "import", archive.to_str().unwrap()]);
    assert_eq!(
        said(&farm, &["token", "list"]),
        said(&other, &["token", "list"])
    );
    said(&other, &["store", "verify"]);

    progress(&farm, &archive);

    fs_err::write(&blob, "hullo").unwrap();
    let run = farm.run(["store", "verify"]).unwrap();
    assert_eq!(run.code, Some(1));
    assert!(run.stdout.contains(digest), "{}", run.stdout);
    let run = farm.run(["store", "export", "again.tar"]).unwrap();
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(!farm.work().join("again.tar").exists());
    said(&farm, &["store", "verify", "--repair"]);
    assert!(!blob.exists());
}

/// How far the work is: lines in a log, a bar on a terminal, and never a word of it on stdout.
fn progress(farm: &Farm, archive: &Path) {
    let archive = archive.to_str().unwrap();
    let long: [(&[&str], &str); 4] = [
        (&["verify"], "reading blobs: 1, 5 B"),
        (&["gc"], "looking into the trash"),
        (&["export", "another.tar"], "writing: "),
        (&["import", archive], "taking in: "),
    ];
    for (words, part) in long {
        let words = [&["store", "--format", "json"], words].concat();
        let run = farm.run(&words).unwrap();
        assert_eq!(run.code, Some(0), "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{words:?}: {}", run.stderr);
        // One document.
        serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap();
        let quiet = farm.run([words.as_slice(), &["-q"]].concat()).unwrap();
        assert_eq!(quiet.stderr, "", "{words:?}");
    }
    let command = farm.command(["store", "verify"]).unwrap();
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]);
    terminal.current_dir(farm.work());
    terminal.env("TERM", "xterm").env_remove("CI");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let output = process::start(&mut terminal)
        .unwrap()
        .finish(Duration::from_secs(60))
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains(": reading blobs ["), "{shown:?}");
    // The line gives way to the next one.
    assert!(shown.contains("\u{1b}[1A\u{1b}[J"), "{shown:?}");
}
