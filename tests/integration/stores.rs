//! `wheelfarm store`.

use wheelfarm_tests::farm::Farm;

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
