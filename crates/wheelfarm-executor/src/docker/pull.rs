//! Pulls images from registries.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::ImageFacts;
use wheelfarm_types::Arch;

use crate::docker::error::detail;
use crate::docker::images::facts;
use crate::docker::{Docker, Shared};
use crate::download::Downloaded;
use crate::error::{Result, cancelled, error, hinted};
use crate::image::{platform, repository};

/// What the engine says when it cannot talk to a registry, in lower case.
const UNREACHABLE: [&str; 11] = [
    "connection refused",
    "connection reset",
    "no such host",
    "no route to host",
    "network is unreachable",
    "temporary failure in name resolution",
    "timeout",
    "request canceled",
    "proxyconnect",
    "certificate",
    ": eof",
];

impl Docker {
    /// Pulls `reference`, which should have a digest, for `arch`. Goes on from where an earlier pull was cut off,
    /// since the engine keeps whole layers.
    pub async fn pull(
        &self,
        reference: &str,
        arch: Arch,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts> {
        let reference = reference.to_owned();
        self.supervise(cancel, |shared, cancel| async move {
            let pull = pull(&shared, &reference, arch, &progress);
            cancel
                .run_until_cancelled(pull)
                .await
                .ok_or_else(|| cancelled(format!("pulling {reference}")))?
        })
        .await
    }
}

pub(crate) async fn pull(
    shared: &Shared,
    reference: &str,
    arch: Arch,
    progress: &LogSink,
) -> Result<ImageFacts> {
    // Without a tag the engine would pull every one of them.
    let tagged = if reference.contains('@') || repository(reference) != reference {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    };
    let options = CreateImageOptionsBuilder::new()
        .from_image(&tagged)
        .platform(&platform(arch))
        .build();
    let mut stream = shared.transfer.create_image(Some(options), None, None);
    let mut report = Report::default();
    while let Some(info) = stream.next().await {
        let info = info.map_err(|source| refused(&tagged, &detail(&source)))?;
        if let Some(line) = report.line(&info) {
            progress(&line);
        }
    }
    match shared.inspect(&tagged).await? {
        Some(image) => facts(&image),
        None => Err(error(
            ExecutorErrorKind::ImageUnavailable,
            format!("the container engine pulled {tagged}, but does not have it"),
        )),
    }
}

fn refused(reference: &str, detail: &str) -> ExecutorError {
    let lower = detail.to_lowercase();
    if UNREACHABLE.iter().any(|text| lower.contains(text)) || lower.ends_with("eof") {
        return hinted(
            ExecutorErrorKind::RegistryUnavailable,
            format!("no registry answers for {reference}: {detail}"),
            "The Docker daemon pulls, with its own proxy and certificate settings. Without a registry, `docker load` the image, or make a Debian-based one: `wheelfarm images build`.",
        );
    }
    hinted(
        ExecutorErrorKind::ImageUnavailable,
        format!("the registry does not give out {reference}: {detail}"),
        "Look at the name and the digest, and whether the registry wants `docker login`.",
    )
}

/// Thins out what the engine says to lines that are worth showing.
#[derive(Default)]
struct Report {
    status: BTreeMap<String, String>,
    /// Bytes so far and in all, per layer.
    layers: BTreeMap<String, (u64, u64)>,
    downloaded: Downloaded,
}

impl Report {
    fn line(&mut self, info: &CreateImageInfo) -> Option<String> {
        let status = info.status.clone()?;
        let id = info.id.clone().unwrap_or_default();
        if status == "Downloading" {
            let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
            let detail = info.progress_detail.as_ref()?;
            let (current, total) = (number(detail.current)?, number(detail.total)?);
            self.layers.insert(id, (current, total));
            return self.downloaded();
        }
        let line = match id.as_str() {
            "" => status.clone(),
            id => format!("{id}: {status}"),
        };
        (self.status.insert(id, status.clone()).as_ref() != Some(&status)).then_some(line)
    }

    fn downloaded(&self) -> Option<String> {
        let (current, total) =
            self.layers
                .values()
                .fold((0, 0), |sum: (u64, u64), (current, total)| {
                    (sum.0.saturating_add(*current), sum.1.saturating_add(*total))
                });
        self.downloaded.line(current, total)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn a_registry_that_does_not_answer_is_told_from_one_that_refuses() {
        for (text, kind) in [
            (
                "Get \"http://localhost:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                ExecutorErrorKind::RegistryUnavailable,
            ),
            (
                "Get \"https://x/v2/\": dial tcp: lookup x on 10.0.0.1:53: no such host",
                ExecutorErrorKind::RegistryUnavailable,
            ),
            (
                "Get \"https://x/v2/\": EOF",
                ExecutorErrorKind::RegistryUnavailable,
            ),
            (
                "manifest for x@sha256:00 not found: manifest unknown",
                ExecutorErrorKind::ImageUnavailable,
            ),
            (
                "pull access denied for x, repository does not exist",
                ExecutorErrorKind::ImageUnavailable,
            ),
        ] {
            assert_eq!(refused("x", text).kind, kind, "{text}");
        }
    }

    #[test]
    fn repeated_states_are_shown_once() {
        let mut report = Report::default();
        let info = |id: &str, status: &str, bytes: Option<i64>| CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: bytes.map(|current| ProgressDetail {
                current: Some(current),
                total: Some(100_000_000),
            }),
            ..CreateImageInfo::default()
        };
        assert_eq!(
            report.line(&info("a", "Extracting", None)).as_deref(),
            Some("a: Extracting")
        );
        assert_eq!(report.line(&info("a", "Extracting", None)), None);
        assert_eq!(report.line(&info("a", "Downloading", Some(1))), None);
        assert_eq!(
            report
                .line(&info("a", "Downloading", Some(30_000_000)))
                .as_deref(),
            Some("downloaded 30 of 100 MB")
        );
        assert_eq!(
            report.line(&info("a", "Downloading", Some(31_000_000))),
            None
        );
    }
}
