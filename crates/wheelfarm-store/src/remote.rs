//! Object stores that are reached over HTTP, from an address and options.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};

use crate::address::Service;
use crate::{StoreError, StoreErrorKind};

/// The option that has certificates in PEM which are trusted beside the host's.
const CA_BUNDLE: &str = "ca_bundle";
/// How often the first requests are tried again: who named a wrong address wants to know soon.
const FIRST_RETRIES: usize = 2;
/// How long all tries of a first request may take together.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client waits for a service.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// For the first requests, which tell whether the address is right.
    First,
    /// For all later ones: a service may be away for some minutes.
    Later,
}

/// A client of `bucket`, in which all names begin with `prefix`.
pub(crate) fn client(
    service: Service,
    bucket: &str,
    prefix: &Path,
    options: &[(String, String)],
    patience: Patience,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let bad = |detail: String| StoreError::new(StoreErrorKind::Address, bucket, detail);
    let mut http = ClientOptions::new();
    for (_, pem) in options.iter().filter(|(key, _)| key == CA_BUNDLE) {
        let certificates = Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| bad(format!("its CA bundle cannot be read: {error}")))?;
        for certificate in certificates {
            http = http.with_root_certificate(certificate);
        }
    }
    let retry = match patience {
        Patience::First => RetryConfig {
            max_retries: FIRST_RETRIES,
            retry_timeout: FIRST_PATIENCE,
            ..RetryConfig::default()
        },
        Patience::Later => RetryConfig::default(),
    };
    // Who writes `http://` means it.
    if options
        .iter()
        .any(|(key, value)| key.contains("endpoint") && value.starts_with("http://"))
    {
        http = http.with_allow_http(true);
    }
    let options = options.iter().filter(|(key, _)| key != CA_BUNDLE);
    // An option that a service does not know is another one's: the environment is handed in as it is.
    macro_rules! build {
        ($builder:ty) => {{
            let mut builder = <$builder>::new()
                .with_url(bucket)
                .with_client_options(http)
                .with_retry(retry);
            for (key, value) in options {
                if let Ok(key) = key.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
            let built = builder
                .build()
                .map_err(|error| bad(format!("{error}; {}", service.credentials_hint())))?;
            prefixed(built, prefix)
        }};
    }
    Ok(match service {
        Service::S3 => build!(AmazonS3Builder),
        Service::Google => build!(GoogleCloudStorageBuilder),
        Service::Azure => build!(MicrosoftAzureBuilder),
    })
}

fn prefixed(store: impl ObjectStore, prefix: &Path) -> Arc<dyn ObjectStore> {
    if prefix.as_ref().is_empty() {
        Arc::new(store)
    } else {
        Arc::new(PrefixStore::new(store, prefix.clone()))
    }
}
