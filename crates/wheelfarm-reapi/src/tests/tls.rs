//! TLS and client certificates.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;

use super::{given, noise, refused, upload};
use crate::fake::{Fake, FakeTls, Options};
use crate::{Client, ErrorKind, Identity, Settings, Tls};

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
