//! Connecting: capabilities, TLS, what is sent with every call.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2::RequestMetadata;
use bazel_remote_apis::build::bazel::remote::execution::v2::digest_function::Value as DigestFunction;
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::{connected, execute, given, noise, patient, upload};
use crate::fake::{Fake, FakeTls, Options};
use crate::{BlobDigest, Client, ErrorKind, Identity, Settings, Tls};

async fn refused(settings: Settings) -> crate::Error {
    Client::connect(settings).await.unwrap_err()
}

#[tokio::test]
async fn capabilities_are_what_the_server_says() {
    let (_fake, client) = connected(Options {
        batch_bytes: 1000,
        zstd: true,
        ..Options::default()
    })
    .await;
    let capabilities = client.capabilities();
    assert_eq!(capabilities.batch_bytes, 1000);
    assert!(capabilities.zstd && capabilities.zstd_batches && capabilities.execution);
    assert!(!capabilities.action_cache_update);
    assert_eq!(capabilities.priorities, [(-10, 10)]);
    assert_eq!(
        capabilities.versions,
        (Some("2.0".to_owned()), Some("2.3".to_owned()))
    );
    assert_eq!(capabilities.digest_functions, ["SHA256"]);
    // However much a server allows, messages stay within what gRPC usually does.
    for batch_bytes in [0, 1 << 40, -1] {
        let (_fake, client) = connected(Options {
            batch_bytes,
            ..Options::default()
        })
        .await;
        assert!((3 << 20..4 << 20).contains(&client.capabilities().batch_bytes));
    }
}

#[tokio::test]
async fn servers_that_cannot_work_for_us_are_refused() {
    let fake = Fake::start(Options {
        execution: false,
        ..Options::default()
    });
    let error = refused(fake.settings()).await;
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error.message.contains("does not execute actions"),
        "{error}"
    );
    let other = vec![DigestFunction::Blake3 as i32, 77];
    let fake = Fake::start(Options {
        digest_functions: other,
        ..Options::default()
    });
    let error = refused(fake.settings()).await;
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("BLAKE3, number 77"), "{error}");
}

#[tokio::test]
async fn storage_may_be_elsewhere() {
    let storage = Fake::start(Options {
        execution: false,
        ..Options::default()
    });
    let execution = Fake::start(Options {
        digest_functions: vec![1],
        ..Options::default()
    });
    let mut settings = execution.settings();
    settings.storage = Some(storage.address());
    let client = Client::connect(settings).await.unwrap();
    upload(
        &client,
        vec![given(noise(1, 10)), given(noise(1, 2_000_000))],
    )
    .await;
    assert_eq!((storage.state().blobs(), execution.state().blobs()), (2, 0));
    let action = BlobDigest::of("action");
    execute(&client, &action, &patient()).await.0.unwrap();
    assert_eq!(
        (
            storage.state().count("Execute"),
            execution.state().count("Execute")
        ),
        (0, 1)
    );
    client.cached(&action).await.unwrap();
    assert_eq!(storage.state().count("GetActionResult"), 1);
}

#[tokio::test]
async fn headers_instance_and_metadata_go_with_every_call() {
    let fake = Fake::start(Options {
        batch_bytes: 1000,
        ..Options::default()
    });
    let mut settings = fake.settings();
    settings.instance = "farm/main".to_owned();
    settings.headers = vec![("X-Api-Key".to_owned(), "s3cret".to_owned())];
    let client = Client::connect(settings).await.unwrap();
    let (large, action) = (noise(1, 2000), BlobDigest::of("action"));
    upload(&client, vec![given(large.clone()), given(noise(2, 10))]).await;
    client
        .read_all(
            &[BlobDigest::of(&large), BlobDigest::of(noise(2, 10))],
            5000,
        )
        .await
        .unwrap();
    client.cached(&action).await.unwrap();
    execute(&client, &action, &patient()).await.0.unwrap();
    let mut methods = std::collections::BTreeSet::new();
    for call in fake
        .state()
        .calls()
        .iter()
        .filter(|call| !call.method.contains('.'))
    {
        methods.insert(call.method);
        assert_eq!(
            call.metadata.get("x-api-key").unwrap(),
            "s3cret",
            "{}",
            call.method
        );
        let user_agent = call.metadata.get("user-agent").unwrap().to_str().unwrap();
        assert!(user_agent.starts_with("test/1"), "{user_agent}");
        let sent = call
            .metadata
            .get_bin("build.bazel.remote.execution.v2.requestmetadata-bin")
            .unwrap();
        let sent = RequestMetadata::decode(sent.to_bytes().unwrap()).unwrap();
        assert_eq!(sent.tool_details.unwrap().tool_name, "test");
        assert_eq!(sent.tool_invocation_id, "invocation");
        match call.method {
            "Execute" | "GetActionResult" => assert_eq!(sent.action_id, action.hash.to_string()),
            _ => assert_eq!(sent.action_id, ""),
        }
        match call.method {
            "Read" => assert!(call.name.starts_with("farm/main/blobs/"), "{}", call.name),
            "Execute" | "GetCapabilities" | "FindMissingBlobs" => {
                assert_eq!(call.name, "farm/main");
            }
            _ => {}
        }
    }
    assert_eq!(methods.len(), 8, "{methods:?}");
}

#[tokio::test]
async fn secrets_are_never_printed() {
    let fake = Fake::start(Options::default());
    let mut settings = fake.settings();
    settings.headers = vec![("authorization".to_owned(), "Bearer s3cret".to_owned())];
    settings.tls.identity = Some(Identity {
        certificate: "s3cret".into(),
        key: "s3cret".into(),
    });
    assert!(!format!("{settings:?}").contains("s3cret"));
    settings.tls.identity = None;
    let client = Client::connect(settings.clone()).await.unwrap();
    assert!(!format!("{client:?}").contains("s3cret"));
    fake.state()
        .fail_next("GetCapabilities", Status::unauthenticated("who are you?"));
    let error = refused(settings.clone()).await;
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(error.message.contains("who are you?") && !format!("{error:?}").contains("s3cret"));
    fake.state()
        .fail_next("FindMissingBlobs", Status::permission_denied("not yours"));
    let error = client
        .find_missing(&[BlobDigest::of("x")])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    settings.headers = vec![("authorization".to_owned(), "s3cret\n".to_owned())];
    let error = refused(settings).await;
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(!format!("{error:?}").contains("s3cret"));
}

#[tokio::test]
async fn addresses_that_are_none_are_explained() {
    let fake = Fake::start(Options::default());
    for address in [
        "",
        "host:80",
        "ftp://host:80",
        "grpc://",
        "grpc:///x",
        "grpc://host/instance",
        "grpc://user:s3cret@host",
        "grpc://a b",
    ] {
        let settings = Settings {
            execution: address.to_owned(),
            ..fake.settings()
        };
        let error = refused(settings).await;
        assert_eq!(error.kind, ErrorKind::Invalid, "{address}");
        assert!(
            error.hint.is_some() && !error.message.contains("s3cret"),
            "{error}"
        );
    }
    // And one where nobody is.
    let settings = Settings {
        execution: "grpc://127.0.0.1:1".to_owned(),
        patience: Duration::from_millis(100),
        ..fake.settings()
    };
    let error = refused(settings).await;
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn tls_is_between_those_who_know_each_other() {
    let place = tempfile::tempdir().unwrap();
    let (authority, server) = (authority(place.path(), "ca"), "server");
    let (certificate, key) = signed(place.path(), server, "ca");
    let tls = |clients: Option<&Bytes>| {
        Fake::start(Options {
            tls: Some(FakeTls {
                certificate: certificate.clone(),
                key: key.clone(),
                clients: clients.cloned(),
            }),
            ..Options::default()
        })
    };
    let trusting = Tls {
        roots: Some(authority.clone()),
        identity: None,
    };
    // The server's certificate is looked at.
    let fake = tls(None);
    let error = refused(fake.settings()).await;
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(
        error.hint.unwrap().contains("not trusted"),
        "{}",
        error.message
    );
    let client = Client::connect(Settings {
        tls: trusting.clone(),
        ..fake.settings()
    })
    .await
    .unwrap();
    upload(&client, vec![given(noise(1, 3_000_000))]).await;
    // And ours, where the server wants it.
    let fake = tls(Some(&authority));
    let nobody = Settings {
        tls: trusting.clone(),
        patience: Duration::from_millis(300),
        ..fake.settings()
    };
    assert_eq!(refused(nobody).await.kind, ErrorKind::Unreachable);
    let (certificate, key) = signed(place.path(), "client", "ca");
    let identity = Some(Identity { certificate, key });
    let tls = Tls {
        identity,
        ..trusting.clone()
    };
    Client::connect(Settings {
        tls: tls.clone(),
        ..fake.settings()
    })
    .await
    .unwrap();
    // What cannot be is told before anything is sent.
    let plain = Settings {
        tls,
        execution: "grpc://localhost:1".to_owned(),
        ..fake.settings()
    };
    assert_eq!(refused(plain).await.kind, ErrorKind::Invalid);
    let nonsense = Identity {
        certificate: "x".into(),
        key: "y".into(),
    };
    let bad = Tls {
        identity: Some(nonsense),
        ..trusting
    };
    assert_eq!(
        refused(Settings {
            tls: bad,
            ..fake.settings()
        })
        .await
        .kind,
        ErrorKind::Invalid
    );
    let bad = Tls {
        roots: Some("x".into()),
        identity: None,
    };
    assert_eq!(
        refused(Settings {
            tls: bad,
            ..fake.settings()
        })
        .await
        .kind,
        ErrorKind::Invalid
    );
}

/// Makes an authority and returns its certificate.
fn authority(place: &Path, name: &str) -> Bytes {
    openssl(
        place,
        &["req", "-new", "-x509", "-subj", "/CN=authority"],
        name,
    )
}

/// Makes a certificate for this machine, signed by an authority, and its key.
fn signed(place: &Path, name: &str, authority: &str) -> (Bytes, Bytes) {
    let [certificate, key] = ["crt", "key"].map(|kind| format!("{authority}.{kind}"));
    let arguments = [
        "req",
        "-new",
        "-x509",
        "-subj",
        "/CN=localhost",
        "-CA",
        &certificate,
        "-CAkey",
        &key,
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    let certificate = openssl(place, &arguments, name);
    (
        certificate,
        fs_err::read(place.join(format!("{name}.key")))
            .unwrap()
            .into(),
    )
}

fn openssl(place: &Path, arguments: &[&str], name: &str) -> Bytes {
    let output = Command::new("openssl")
        .current_dir(place)
        .args(arguments)
        .args([
            "-days",
            "2",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args([
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.crt"),
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs_err::read(place.join(format!("{name}.crt")))
        .unwrap()
        .into()
}
