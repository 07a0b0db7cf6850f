//! Signed statements: [DSSE](https://github.com/secure-systems-lab/dsse) envelopes with Ed25519 signatures
//! ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)).
//!
//! Keys are PEM files as OpenSSL makes them: `openssl genpkey -algorithm ed25519`, `openssl pkey -pubout`. A
//! signature depends on key and payload alone, so the same wheel has the same envelope each time.

use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use wheelfarm_types::Digest;

use crate::exit::Failure;

/// What stands before the 32 bytes of a key in a `SubjectPublicKeyInfo` (RFC 8410).
const PUBLIC_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Key files are a few lines.
const KEY_LIMIT: u64 = 64 << 10;

/// A payload with signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// A key that signs.
pub(crate) struct SigningKey(Ed25519KeyPair);

/// A key that checks.
pub(crate) struct PublicKey(Vec<u8>);

/// The bytes that are signed: the envelope's pre-authentication encoding.
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Names a public key: sha256 of its DER form, as `openssl pkey -pubout -outform DER | sha256sum` prints it.
fn key_id(public: &[u8]) -> String {
    Digest::of([&PUBLIC_PREFIX, public].concat()).to_string()
}

impl SigningKey {
    /// Reads a private key.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let der = pem(path, "PRIVATE KEY")?;
        let key = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| {
            Failure::usage(format!("{}: it is no Ed25519 key", path.display())).with_hint(Some(
                "make one with `openssl genpkey -algorithm ed25519 -out key.pem`".to_owned(),
            ))
        })?;
        Ok(Self(key))
    }

    /// Signs `payload`.
    pub(crate) fn sign(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        let signature = self.0.sign(&encoded(payload_type, payload));
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: BASE64.encode(payload),
            signatures: vec![Signature {
                keyid: key_id(self.0.public_key().as_ref()),
                sig: BASE64.encode(signature.as_ref()),
            }],
        }
    }
}

impl PublicKey {
    /// Reads a public key.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let der = pem(path, "PUBLIC KEY")?;
        match der.strip_prefix(&PUBLIC_PREFIX) {
            Some(key) if key.len() == 32 => Ok(Self(key.to_vec())),
            _ => Err(Failure::usage(format!(
                "{}: it is no Ed25519 key",
                path.display()
            ))),
        }
    }

    /// The key's name.
    pub(crate) fn id(&self) -> String {
        key_id(&self.0)
    }
}

impl Envelope {
    /// The payload, without a look at the signatures; the error says what is wrong with it.
    pub(crate) fn payload(&self, payload_type: &str) -> Result<Vec<u8>, String> {
        if self.payload_type != payload_type {
            return Err(format!(
                "what is signed is `{}`, not `{payload_type}`",
                self.payload_type.escape_debug()
            ));
        }
        BASE64
            .decode(&self.payload)
            .map_err(|error| format!("its payload is not base64: {error}"))
    }

    /// Whether one of the signatures is `key`'s over this payload. Key identifiers are hints and not believed.
    pub(crate) fn is_signed_by(&self, key: &PublicKey, payload: &[u8]) -> bool {
        let message = encoded(&self.payload_type, payload);
        let public = UnparsedPublicKey::new(&ED25519, &key.0);
        self.signatures.iter().any(|signature| {
            BASE64
                .decode(&signature.sig)
                .is_ok_and(|signature| public.verify(&message, &signature).is_ok())
        })
    }
}

/// The bytes of the first block labelled `label` in a PEM file (RFC 7468).
fn pem(path: &Path, label: &str) -> Result<Vec<u8>, Failure> {
    let error = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let size = fs_err::metadata(path)
        .map_err(|error| Failure::usage(error.to_string()))?
        .len();
    if size > KEY_LIMIT {
        return Err(error("it is too large for a key".to_owned()));
    }
    let text = fs_err::read_to_string(path).map_err(|error| Failure::usage(error.to_string()))?;
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut lines = text.lines().map(str::trim);
    if !lines.any(|line| line == begin) {
        return Err(error(format!("it has no `{begin}`")));
    }
    let body: String = lines.take_while(|line| *line != end).collect();
    BASE64
        .decode(body)
        .map_err(|_| error("what stands in it is not base64".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    fn openssl(directory: &Path, arguments: &[&str]) -> bool {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        output.status.success()
    }

    /// A key pair that OpenSSL made.
    fn keys(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
        assert!(openssl(
            directory,
            &["genpkey", "-algorithm", "ed25519", "-out", &private]
        ));
        assert!(openssl(
            directory,
            &["pkey", "-in", &private, "-pubout", "-out", &public]
        ));
        (directory.join(private), directory.join(public))
    }

    #[test]
    fn openssl_accepts_our_signatures_and_we_accept_its() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let (private, public) = keys(directory, "one");
        let envelope = SigningKey::read(&private)
            .unwrap()
            .sign("type/x", b"what is said");
        let signature = envelope.signatures.first().unwrap();
        let file = |name: &str, bytes: &[u8]| fs_err::write(directory.join(name), bytes).unwrap();
        // As the specification of DSSE writes it.
        file("message", b"DSSEv1 6 type/x 12 what is said");
        file("signature", &BASE64.decode(&signature.sig).unwrap());
        let verify = [
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "one.pub",
            "-rawin",
            "-in",
            "message",
            "-sigfile",
            "signature",
        ];
        assert!(openssl(directory, &verify));
        file("message", b"DSSEv1 6 type/x 12 what is sait");
        assert!(!openssl(directory, &verify));

        file("message", b"DSSEv1 6 type/x 3 yes");
        assert!(openssl(
            directory,
            &[
                "pkeyutl", "-sign", "-inkey", "one.pem", "-rawin", "-in", "message", "-out",
                "theirs"
            ]
        ));
        let theirs = Envelope {
            payload: BASE64.encode("yes"),
            signatures: vec![Signature {
                keyid: String::new(),
                sig: BASE64.encode(fs_err::read(directory.join("theirs")).unwrap()),
            }],
            ..envelope.clone()
        };
        let key = PublicKey::read(&public).unwrap();
        assert!(theirs.is_signed_by(&key, &theirs.payload("type/x").unwrap()));
        assert!(openssl(
            directory,
            &[
                "pkey", "-pubin", "-in", "one.pub", "-outform", "DER", "-out", "der"
            ]
        ));
        let der = fs_err::read(directory.join("der")).unwrap();
        assert_eq!(key.id(), Digest::of(der).to_string());
        assert_eq!(signature.keyid, key.id());
    }

    #[test]
    fn what_was_changed_or_signed_by_others_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (private, public) = keys(directory.path(), "one");
        let (_, other) = keys(directory.path(), "two");
        let key = PublicKey::read(&public).unwrap();
        let envelope = SigningKey::read(&private)
            .unwrap()
            .sign("type/x", b"payload");
        assert!(envelope.is_signed_by(&key, b"payload"));
        assert!(!envelope.is_signed_by(&key, b"Payload"));
        assert!(!envelope.is_signed_by(&PublicKey::read(&other).unwrap(), b"payload"));
        let retyped = Envelope {
            payload_type: "type/y".to_owned(),
            ..envelope.clone()
        };
        assert!(!retyped.is_signed_by(&key, b"payload"));
        assert!(retyped.payload("type/x").is_err());
        let unsigned = Envelope {
            signatures: Vec::new(),
            ..envelope
        };
        assert!(!unsigned.is_signed_by(&key, b"payload"));
    }

    #[test]
    fn other_files_are_no_keys() {
        let directory = tempfile::tempdir().unwrap();
        let (private, public) = keys(directory.path(), "one");
        assert!(openssl(
            directory.path(),
            &["genpkey", "-algorithm", "X25519", "-out", "x.pem"]
        ));
        let path = directory.path().join("x.pem");
        for (path, says) in [(&public, "PRIVATE KEY"), (&path, "no Ed25519 key")] {
            let error = SigningKey::read(path).err().unwrap();
            assert!(error.message.contains(says), "{}", error.message);
        }
        assert!(PublicKey::read(&private).is_err());
        assert!(PublicKey::read(&directory.path().join("none")).is_err());
    }
}
