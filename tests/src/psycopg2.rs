//! The proof for psycopg2: a query over TLS through the libraries inside the wheel.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::bare::BareRuntime;
use crate::postgres::Postgres;

const PROGRAM: &str = r#"
import json
import psycopg2

settings = json.loads(SETTINGS)
with open("/wf/server.crt", "w") as file:
    file.write(settings.pop("certificate"))

def ask(**options):
    connection = psycopg2.connect(host="localhost", hostaddr="127.0.0.1", user="postgres", dbname="postgres", **settings, **options)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssl, version, cipher, %s::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()", ["größer"])
        return cursor.fetchone()

ssl, version, cipher, text = ask(sslmode="require")
assert ssl and text == "größer", (ssl, text)
# The certificate is checked by the libssl in the wheel.
assert ask(sslmode="verify-full", sslrootcert="/wf/server.crt")[0]
try:
    ask(sslmode="disable")
except psycopg2.OperationalError as error:
    refused = str(error)
else:
    raise SystemExit("the server takes connections without TLS")

loaded = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
print(json.dumps({
    "tls": version, "cipher": cipher, "libpq": psycopg2.__libpq_version__, "refused": refused,
    "libraries": sorted(path for path in loaded if "/psycopg2.libs/" in path),
    "outside": sorted(path for path in loaded if not path.startswith("/wf/site/") and any(
        name in path for name in ("libpq", "libldap", "libgssapi", "libkrb5"))),
}))
"#;

/// What the client saw.
#[derive(Debug, Clone, Deserialize)]
pub struct TlsQuery {
    /// `TLSv1.3`.
    pub tls: String,
    /// The cipher.
    pub cipher: String,
    /// libpq's version as a number: 150013.
    pub libpq: u32,
    /// What the server said to a connection without TLS.
    pub refused: String,
    /// Libraries of the wheel that the process has loaded.
    pub libraries: Vec<String>,
    /// Libraries of the kinds that the wheel holds, loaded from elsewhere; without those of OpenSSL, which the
    /// interpreter loads for modules of its own.
    pub outside: Vec<String>,
}

/// Connects from a bare container to `postgres` with the psycopg2 in `wheel`.
pub fn query_over_tls(
    runtime: &BareRuntime,
    postgres: &Postgres,
    wheel: &Path,
) -> Result<TlsQuery> {
    let settings = json!({
        "port": postgres.port(),
        "password": postgres.password(),
        "certificate": postgres.certificate()?,
    });
    // A JSON string is a Python string.
    let program = format!(
        "SETTINGS = {}\n{PROGRAM}",
        serde_json::to_string(&settings.to_string())?
    );
    let text = runtime
        .python(&[wheel], &program, true)
        .with_context(|| format!("the server's log:\n{}", postgres.log()))?;
    serde_json::from_str(text.trim()).with_context(|| format!("the client printed {text:?}"))
}
