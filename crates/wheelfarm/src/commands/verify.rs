//! `wheelfarm verify`: whether a wheel is what its RECORD, its provenance and the signature of that say.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::json;
use wheelfarm_build::provenance::{self, PAYLOAD_TYPE, Statement};
use wheelfarm_store::Store;
use wheelfarm_types::Digest;
use wheelfarm_wheel::{RecordFinding, Wheel};

use super::provenance::beside;
use crate::cli::{Format, GlobalArgs, VerifyArgs};
use crate::config::Config;
use crate::dsse::{Envelope, PublicKey};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::Places;

/// Statements name a few hundred packages.
const LIMIT: u64 = 16 << 20;

/// What was found of a wheel.
#[derive(Debug, Serialize)]
struct Verdict {
    path: PathBuf,
    sha256: Digest,
    ok: bool,
    /// What is wrong.
    findings: Vec<String>,
    /// Where its provenance is from.
    provenance: Origin,
    /// The source that it was built from.
    source: Option<String>,
    /// The key whose signature was found right.
    signed_by: Option<String>,
}

/// Where a statement is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Origin {
    /// A file beside the wheel.
    File,
    /// This store, which knows what it built.
    Store,
    /// There is none.
    None,
}

pub(crate) async fn run(
    global: &GlobalArgs,
    args: VerifyArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let key = args.key.as_deref().map(PublicKey::read).transpose()?;
    // A store that is not there is not made in order to look into it.
    let store = if args.wheels.iter().all(|wheel| beside(wheel).exists()) {
        None
    } else {
        let config = Config::load(global)?;
        Some(Places::open(global, &config).await?.store)
    };
    let mut verdicts = Vec::new();
    for path in &args.wheels {
        verdicts.push(verify(path, store.as_ref(), key.as_ref()).await?);
    }
    if global.format == Format::Json {
        printer.result(json!({ "version": 1, "wheels": verdicts }));
    } else {
        for verdict in &verdicts {
            print(verdict, printer);
        }
    }
    Ok(if verdicts.iter().all(|verdict| verdict.ok) {
        Exit::Ok
    } else {
        Exit::Finding
    })
}

/// Looks at one wheel. What is wrong with it is in the verdict; errors mean that it could not be looked at.
async fn verify(
    path: &Path,
    store: Option<&Store>,
    key: Option<&PublicKey>,
) -> Result<Verdict, Failure> {
    let sha256 = digest_of(path)?;
    let mut verdict = Verdict {
        path: path.to_owned(),
        sha256,
        ok: false,
        findings: Vec::new(),
        provenance: Origin::None,
        source: None,
        signed_by: None,
    };
    let wheel = Wheel::open(path).map_err(|error| error.to_string());
    let checked = wheel.and_then(|wheel| {
        let findings = wheel.verify_record().map_err(|error| error.to_string())?;
        verdict.findings.extend(findings.iter().map(said));
        Ok(wheel.filename().clone())
    });
    let filename = match checked {
        Ok(filename) => filename,
        Err(error) => {
            verdict.findings.push(error);
            return Ok(verdict);
        }
    };
    let file = beside(path);
    let mut signed = None;
    let statement = if file.exists() {
        verdict.provenance = Origin::File;
        let bytes = read_bounded(&file)?;
        match opened(&bytes) {
            Ok((envelope, statement)) => {
                signed = envelope;
                Some(statement)
            }
            Err(error) => {
                verdict
                    .findings
                    .push(format!("{}: {error}", file.display()));
                None
            }
        }
    } else {
        let found = match store {
            Some(store) => provenance::find(store, &sha256).await?,
            None => None,
        };
        if found.is_some() {
            verdict.provenance = Origin::Store;
        }
        found.map(|bytes| bytes.to_vec())
    };
    if let Some(statement) = &statement {
        match Statement::parse(statement) {
            Ok(parsed) => {
                verdict.source = parsed.source().map(str::to_owned);
                if let Err(error) = parsed.check_subject(&filename, &sha256) {
                    verdict
                        .findings
                        .push(format!("its provenance does not fit: {error}"));
                }
            }
            Err(error) => verdict
                .findings
                .push(format!("its provenance cannot be read: {error}")),
        }
    }
    if let Some(key) = key {
        match (&signed, &statement) {
            (Some(envelope), Some(payload)) if envelope.is_signed_by(key, payload) => {
                verdict.signed_by = Some(key.id());
            }
            (Some(_), _) => verdict
                .findings
                .push("its provenance is not signed with this key".to_owned()),
            (None, _) => verdict
                .findings
                .push("it has no signed provenance".to_owned()),
        }
    }
    verdict.ok = verdict.findings.is_empty();
    Ok(verdict)
}

/// The statement in a file, and the envelope if it is in one.
fn opened(bytes: &[u8]) -> Result<(Option<Envelope>, Vec<u8>), String> {
    match serde_json::from_slice::<Envelope>(bytes) {
        Ok(envelope) => {
            let payload = envelope.payload(PAYLOAD_TYPE)?;
            Ok((Some(envelope), payload))
        }
        Err(_) => Ok((None, bytes.to_vec())),
    }
}

fn print(verdict: &Verdict, printer: Printer) {
    let name = verdict.path.display();
    if !verdict.ok {
        for finding in &verdict.findings {
            printer.result(format_args!("{} {name}: {finding}", "bad".red().bold()));
        }
        return;
    }
    let mut facts = vec![match verdict.provenance {
        Origin::None => "no provenance".to_owned(),
        Origin::File | Origin::Store => match &verdict.source {
            Some(source) => format!("built from {}", source.escape_debug()),
            None => "its provenance fits".to_owned(),
        },
    }];
    match (&verdict.signed_by, verdict.provenance) {
        (Some(key), _) => facts.push(format!("signed by {key}")),
        (None, Origin::File) => facts.push("signature not checked".to_owned()),
        (None, Origin::Store) => facts.push("as this store says".to_owned()),
        (None, Origin::None) => {}
    }
    printer.result(format_args!(
        "{} {name}: RECORD fits, {}",
        "ok".green().bold(),
        facts.join(", ")
    ));
}

fn said(finding: &RecordFinding) -> String {
    let (path, what) = match finding {
        RecordFinding::NotListed(path) => (path, "is not listed in RECORD"),
        RecordFinding::NotThere(path) => (path, "is listed in RECORD and not there"),
        RecordFinding::Twice(path) => (path, "is listed twice in RECORD"),
        RecordFinding::NoHash(path) => (path, "has no hash in RECORD that could be checked"),
        RecordFinding::WrongHash(path) => (path, "has another hash than RECORD says"),
        RecordFinding::WrongSize(path) => (path, "has another size than RECORD says"),
    };
    format!("{} {what}", path.escape_debug())
}

fn digest_of(path: &Path) -> Result<Digest, Failure> {
    let usage = |error: std::io::Error| Failure::usage(error.to_string());
    let mut file = fs_err::File::open(path).map_err(usage)?;
    wheelfarm_store::digest_of(&mut file).map_err(usage)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let usage = |error: std::io::Error| Failure::usage(error.to_string());
    let mut bytes = Vec::new();
    let file = fs_err::File::open(path).map_err(usage)?;
    file.take(LIMIT).read_to_end(&mut bytes).map_err(usage)?;
    Ok(bytes)
}
