use bytes::Bytes;
use chrono::TimeDelta;
use http::Request;
use wheelfarm_types::Digest;

use super::testing::{METADATA, NAME, Sent, Served, demo, now, wheel};
use crate::registry::{Actor, Channel, Event, Origin, Scope};

fn sent() -> Sent {
    Sent::of(NAME, demo())
}

#[tokio::test]
async fn a_wheel_is_published_with_what_it_says_of_itself() {
    let served = Served::new().await;
    let (status, text) = served.upload(&sent()).await;
    assert_eq!(
        (status.as_u16(), text.contains(NAME)),
        (200, true),
        "{text}"
    );
    let main = Channel::main();
    let project = "demo-pkg".parse().unwrap();
    let registry = &served.app.registry;
    let file = registry.read(|state| state.file(&main, &project, NAME).unwrap().clone());
    let file = &file.published;
    assert_eq!(file.blob, Digest::of(demo()));
    assert_eq!(file.size, demo().len() as u64);
    assert_eq!(file.version, "1.0");
    assert_eq!(file.summary.as_deref(), Some("A demo"));
    assert_eq!(file.requires_python.as_deref(), Some(">=3.9"));
    assert_eq!(
        (file.origin.clone(), file.uploaded),
        (Origin::Uploaded, now())
    );
    let store = registry.store();
    assert_eq!(store.get(&file.blob).await.unwrap(), demo());
    let metadata = file.metadata.clone().unwrap();
    assert_eq!(store.get(&metadata.blob).await.unwrap(), METADATA);
    let audit = file.audit.clone().unwrap();
    let report: serde_json::Value =
        serde_json::from_slice(&store.get(&audit.blob).await.unwrap()).unwrap();
    assert_eq!(report["wheel"], NAME);
    // Needed, and not for download as a file.
    registry.read(|state| {
        assert!(state.needed_blobs().any(|blob| *blob == audit.blob));
        assert!(state.channels_of(&audit.blob).is_none());
        assert!(state.channels_of(&metadata.blob).is_some());
    });
}

#[tokio::test]
async fn every_address_takes_uploads() {
    let served = Served::new().await;
    let staging: Channel = "staging".parse().unwrap();
    for (path, channel) in [
        ("/legacy", Channel::main()),
        ("/legacy/", Channel::main()),
        ("/main/legacy/", Channel::main()),
        ("/staging/legacy", staging.clone()),
        ("/staging/legacy/", staging),
    ] {
        let answer = served.post(path, Some(&served.secret), sent().body()).await;
        assert_eq!(answer.0, 200, "{path}: {}", answer.1);
        let there = served
            .app
            .registry
            .read(|state| state.channel(&channel).is_some());
        assert!(there, "{path}");
    }
    let answer = served
        .post("/A!/legacy/", Some(&served.secret), sent().body())
        .await;
    assert_eq!(answer.0, 404);
}

#[tokio::test]
async fn fields_come_in_any_order_and_unknown_ones_do_not_matter() {
    let served = Served::new().await;
    let mut first = sent();
    first.fields.reverse();
    first.fields.push(("gpg_signature".into(), "x".into()));
    first.fields.push(("attestations".into(), "[]".into()));
    // pdm sends empty values, and its own name of a field.
    first.fields.push(("author".into(), String::new()));
    first.fields.push(("provides_extras".into(), String::new()));
    let body = first.body();
    // The file before all else.
    let parts = String::from_utf8_lossy(&body).len();
    assert!(parts > 0);
    let mut content_first = Sent {
        fields: Vec::new(),
        ..sent()
    }
    .body();
    let end = content_first.len() - "--8e3f7c--\r\n".len();
    content_first.truncate(end);
    let fields = Sent {
        content: None,
        ..first.clone()
    };
    content_first.extend(fields.body());
    for body in [body, content_first] {
        let answer = served.post("/legacy/", Some(&served.secret), body).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
}

#[tokio::test]
async fn the_same_bytes_again_are_fine_and_others_are_a_conflict() {
    let served = Served::new().await;
    assert_eq!(served.upload(&sent()).await.0, 200);
    let number = served.app.registry.read(|state| state.number);
    let (status, text) = served.upload(&sent()).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("before"), "{text}");
    assert_eq!(served.app.registry.read(|state| state.number), number);
    let other = wheel(
        NAME,
        &[
            ("demo.py", b"x = 2\n"),
            ("INFO/METADATA", METADATA.as_bytes()),
        ],
    );
    let (status, text) = served.upload(&Sent::of(NAME, other.clone())).await;
    assert_eq!(status, 409);
    assert!(text.starts_with("File already exists"), "{text}");

    // A deleted name goes on meaning what it meant.
    let gone = Event::Deleted {
        channel: Channel::main(),
        project: "demo-pkg".parse().unwrap(),
        filename: NAME.into(),
    };
    crate::registry::testing::commit(&served.app.registry, gone).await;
    let (status, text) = served.upload(&Sent::of(NAME, other)).await;
    assert_eq!(
        (status.as_u16(), text.contains("deleted")),
        (409, true),
        "{text}"
    );
    assert_eq!(served.upload(&sent()).await.0, 200);
}

#[tokio::test]
async fn the_log_says_who_did_it() {
    let served = Served::new().await;
    served.upload(&sent()).await;
    let log = served.app.registry.store().log("index");
    let entries: Vec<(u64, crate::registry::Record)> = log.after(1).await.unwrap();
    let Actor::Token { id, .. } = &entries[0].1.by else {
        panic!("{:?}", entries[0].1.by);
    };
    let known = served.app.registry.read(|state| state.token(id).is_some());
    assert!(known);
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let served = Served::new().await;
    let digest = "0".repeat(64);
    for (sent, said) in [
        (sent().with("sha256_digest", &digest), "sha256_digest"),
        (
            sent().with("blake2_256_digest", &digest),
            "blake2_256_digest",
        ),
        (sent().with("md5_digest", "0"), "md5_digest"),
        (sent().with("name", "other"), "`name`"),
        (sent().with("version", "1.1"), "`version`"),
        (sent().with("summary", "Another"), "`Another`"),
        (
            sent().with("requires_python", "\"><script>"),
            "requires_python",
        ),
        (sent().with("requires_dist", "evil"), "`evil`"),
        (sent().with("filetype", "sdist"), "filetype"),
        (sent().with("filetype", "bdist_egg"), "filetype"),
        (sent().with("protocol_version", "9"), "`9`"),
        (sent().with(":action", "submit"), "`submit`"),
        (sent().without(":action"), ":action"),
        (sent().without("name"), "`name`"),
        (sent().without("version"), "`version`"),
        (
            Sent {
                content: None,
                ..sent()
            },
            "content",
        ),
        (
            Sent {
                filename: String::new(),
                ..sent()
            },
            "name",
        ),
        (
            Sent {
                filename: "demo_pkg-2.0-py3-none-any.whl".into(),
                ..sent()
            },
            "2.0",
        ),
        (
            Sent {
                filename: "other-1.0-py3-none-any.whl".into(),
                ..sent()
            },
            "other",
        ),
        (
            Sent {
                filename: "demo_pkg-1.0-py2-none-any.whl".into(),
                ..sent()
            },
            "py2-none-any",
        ),
    ] {
        let (status, text) = served.upload(&sent).await;
        assert_eq!(status, 400, "{said}: {text}");
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(
        served
            .app
            .registry
            .read(|state| state.channel(&Channel::main()).is_none())
    );
}

#[tokio::test]
async fn spellings_are_no_contradictions() {
    let served = Served::new().await;
    let spelled = sent()
        .with("name", "demo-pkg")
        .with("version", "1.0.0")
        .with("requires_dist", "idna(>=2)")
        .with("summary", "A  demo\r\n");
    let (status, text) = served.upload(&spelled).await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn broken_archives_are_refused() {
    let served = Served::new().await;
    let good = demo();
    let mut behind = good.clone();
    behind.extend(b"junk");
    let twice = [good.clone(), good.clone()].concat();
    let mut damaged = good.clone();
    damaged[60] ^= 0xff;
    let huge = vec![b' '; 100 << 20];
    let metadata = METADATA.as_bytes();
    let record = ("INFO/RECORD", &b"demo.py,sha256=AAAA,6\n"[..]);
    let bad_record = zip_of(&[
        ("demo.py", b"x = 1\n"),
        ("INFO/METADATA", metadata),
        ("INFO/WHEEL", b"Wheel-Version: 1.0\nTag: py3-none-any\n"),
        record,
    ]);
    for (content, said) in [
        (good[..good.len() / 2].to_vec(), "zip"),
        (b"no zip".to_vec(), "zip"),
        (Vec::new(), "zip"),
        (behind, "zip"),
        (twice, "zip"),
        (damaged, ""),
        (bad_record, "RECORD"),
        (
            zip_of(&[("../../../evil.py", b""), ("INFO/METADATA", metadata)]),
            "evil.py",
        ),
        (wheel(NAME, &[("INFO/METADATA", &huge)]), "METADATA"),
        (
            wheel(NAME, &[("bomb", &huge), ("INFO/METADATA", metadata)]),
            "bomb",
        ),
        (wheel(NAME, &[("demo.py", b"x")]), "METADATA"),
        (
            wheel(NAME, &[("INFO/METADATA", b"Metadata-Version: 2.1\nName: x\n")]),
            "Version",
        ),
        (
            wheel(NAME, &[("INFO/METADATA", b"Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")]),
            "`x`",
        ),
        (
            wheel(
                NAME,
                &[(
                    "INFO/METADATA",
                    b"Metadata-Version: 2.1\nName: demo-pkg\nVersion: 1.0\nRequires-Python: banana\n",
                )],
            ),
            "banana",
        ),
    ] {
        let mut sent = Sent::of(NAME, content);
        for field in ["summary", "requires_python", "requires_dist"] {
            sent = sent.without(field);
        }
        let (status, text) = served.upload(&sent).await;
        assert_eq!(status, 400, "{said}: {text}");
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(
        served
            .app
            .registry
            .read(|state| state.channel(&Channel::main()).is_none())
    );
}

#[tokio::test]
async fn forms_are_bounded() {
    let served = Served::new().await;
    let large = Sent::of(NAME, vec![0; 9 << 20]);
    let mut many = sent();
    many.fields
        .extend((0..3000).map(|n| (format!("f{n}"), String::new())));
    let long = sent().with("author", &"x".repeat(2 << 20));
    let described = sent().with("description", &"x".repeat(6 << 20));
    for sent in [large, many, long, described] {
        let (status, text) = served.upload(&sent).await;
        assert_eq!(status, 413, "{text}");
    }
    // A header that does not end is not collected.
    let mut endless = b"--8e3f7c\r\nContent-Disposition: ".to_vec();
    endless.extend(vec![b'x'; 4 << 20]);
    let answer = served.post("/legacy/", Some(&served.secret), endless).await;
    assert_eq!(answer.0, 400, "{}", answer.1);
    let without_end = &sent().body()[..500];
    let answer = served
        .post("/legacy/", Some(&served.secret), without_end.to_vec())
        .await;
    assert_eq!(answer.0, 400, "{}", answer.1);
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let served = Served::new().await;
    for kind in [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
    ] {
        let request = Request::post("/legacy/")
            .header("content-type", kind)
            .header("authorization", format!("Bearer {}", served.secret))
            .body(axum::body::Body::from(Bytes::from(sent().body())))
            .unwrap();
        assert_eq!(served.send(request).await.0, 415, "{kind}");
    }
}

#[tokio::test]
async fn tokens_decide_before_the_body_is_read() {
    let served = Served::new().await;
    let staging: Channel = "staging".parse().unwrap();
    let read = served.token(&[Scope::Read], &[], None).await;
    let elsewhere = served.token(&[Scope::Write], &[staging], None).await;
    let expired = now() - TimeDelta::seconds(1);
    let expired = served.token(&[Scope::Write], &[], Some(expired)).await;
    for (secret, status, said) in [
        (None, 401, "token"),
        (Some(""), 401, "empty"),
        (Some("wfarm_guess"), 401, "not known"),
        (Some(expired.as_str()), 401, "expired"),
        (Some(read.as_str()), 403, "write"),
        (Some(elsewhere.as_str()), 403, "main"),
    ] {
        // It would be refused for what it is, if it were looked at.
        let answer = served.post("/legacy/", secret, b"no form".to_vec()).await;
        assert_eq!(answer.0, status, "{}", answer.1);
        assert!(answer.1.contains(said), "{}", answer.1);
    }
    let staging = served.post("/staging/legacy/", Some(&elsewhere), sent().body());
    assert_eq!(staging.await.0, 200);
}

#[tokio::test]
async fn trusted_publishing_is_not_there() {
    let served = Served::new().await;
    let request = Request::get("/_/oidc/audience")
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(served.send(request).await.0, 404);
}

/// A zip archive with any members; `INFO` is the metadata directory of [`NAME`].
fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        let name = name.replace("INFO", "demo_pkg-1.0.dist-info");
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
