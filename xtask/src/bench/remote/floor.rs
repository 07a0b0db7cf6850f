//! Actions by our client alone, without what the executor does around them: no question of the action cache before, no
//! outputs fetched, no question after.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wheelfarm_reapi::{BlobDigest, Client, CommandSpec, Content, ExecuteOptions, TreeBuilder};
use wheelfarm_tests::anyhow::{Result, ensure};

use super::engine::{Engine, Ours, files};

/// How long an action may take, queue and all.
const LIMIT: Duration = Duration::from_secs(300);

pub(super) struct Floor<'a> {
    client: &'a Client,
    properties: Vec<(String, String)>,
    inputs: BlobDigest,
}

impl<'a> Floor<'a> {
    /// Sends the inputs of all actions: as many as ours have.
    pub(super) async fn prepare(ours: &'a Ours, engine: &Engine) -> Result<Self> {
        let client = ours.client.reapi.client();
        let mut builder = TreeBuilder::new();
        let mut blobs = Vec::new();
        for (number, file) in files().into_iter().enumerate() {
            let digest = BlobDigest::of(&file);
            builder.file(&format!("in/file-{number}"), digest, false)?;
            blobs.push((digest, Content::Given(file.into())));
        }
        let tree = builder.finish()?;
        let directories = tree.directories.into_iter();
        blobs.extend(directories.map(|(digest, bytes)| (digest, Content::Given(bytes))));
        client.upload(blobs, &|_| {}).await?;
        let others = engine.properties();
        let mut properties = vec![("chrootRootDigest".to_owned(), ours.root.clone())];
        properties.extend(
            others
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Ok(Self {
            client,
            properties,
            inputs: tree.root,
        })
    }

    /// Sends the action that is `number`, which is not measured.
    pub(super) async fn send(&self, script: &str, number: usize) -> Result<BlobDigest> {
        let script = format!("mkdir out; {script}; echo 0 >status");
        let command = CommandSpec {
            arguments: ["/bin/sh", "-euc", &script].map(str::to_owned).into(),
            environment: [("PATH", "/usr/bin:/bin"), ("NUMBER", &number.to_string())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            output_paths: vec!["out".to_owned(), "status".to_owned()],
            working_directory: String::new(),
            properties: self.properties.clone(),
        };
        let action = wheelfarm_reapi::action(&command, &self.inputs, LIMIT, false, &[]);
        let blobs = action.blobs.into_iter();
        let blobs = blobs.map(|(digest, bytes)| (digest, Content::Given(bytes)));
        self.client.upload(blobs.collect(), &|_| {}).await?;
        Ok(action.action)
    }

    /// Has a sent action executed (`Execute`): the seconds that took.
    pub(super) async fn execute(&self, action: &BlobDigest) -> Result<f64> {
        let options = ExecuteOptions {
            skip_cache_lookup: false,
            priority: 0,
            deadline_in_queue: LIMIT,
            deadline: LIMIT,
        };
        let start = Instant::now();
        let cancel = CancellationToken::new();
        let executed = self
            .client
            .execute(action, &options, &|_| {}, &cancel)
            .await?;
        ensure!(
            executed.result.exit_code == 0 && !executed.cached,
            "{executed:?}"
        );
        Ok(start.elapsed().as_secs_f64())
    }
}
