//! Containers of failed actions that are kept to be looked into.
//!
//! The work directory is in memory and goes when its container stops. So a container that is to be kept goes on after
//! its command has failed: the shell around it sleeps. What ran into the time limit is stopped where it is, without
//! being ended. The container's name says that it is kept, which a label, fixed when it was made, could not; sweeps
//! leave such names alone. The volume of its inputs is removed by the first sweep after it.

use std::time::Duration;

use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::RenameContainerOptionsBuilder;
use futures::StreamExt;
use wheelfarm_build::action::Kept;

use crate::docker::scope::Scope;

/// What the name of a container that is kept begins with.
const PREFIX: &str = "wheelfarm-failed-";

/// How long stopping a few processes may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the shell around a command does after it has told how that failed; `$code` is the command's exit code.
pub(crate) const SLEEP: &str = r#"if [ "$code" != 0 ]; then
  exec 1>/dev/null 2>&1 3>&-
  while :; do sleep 3600; done
fi
"#;

/// Whether a container of this name is kept.
pub(crate) fn is_kept(name: &str) -> bool {
    name.trim_start_matches('/').starts_with(PREFIX)
}

/// Keeps `container`, which runs, when its scope ends. None if the engine does not want to: then it goes like others.
pub(crate) async fn keep(scope: &mut Scope, container: &str) -> Option<Kept> {
    let rest = container.trim_start_matches("wheelfarm-");
    let name = format!("{PREFIX}{rest}");
    let options = RenameContainerOptionsBuilder::new().name(&name).build();
    let renamed = scope.shared.client.rename_container(container, options);
    renamed.await.ok()?;
    scope.keep_container(container);
    Some(Kept {
        enter: format!("docker exec -it {name} sh"),
        remove: format!("docker rm -f {name}"),
    })
}

/// Stops every process of `container` but its first, without ending it.
pub(crate) async fn freeze(scope: &Scope, container: &str) {
    let stop = ["/bin/sh", "-c", "kill -STOP -1"].map(str::to_owned);
    let config = ExecConfig {
        cmd: Some(stop.into()),
        attach_stdout: Some(true),
        ..ExecConfig::default()
    };
    let client = &scope.shared.client;
    let run = async {
        let made = client.create_exec(container, config).await?;
        let options = StartExecOptions::default();
        if let StartExecResults::Attached { output, .. } =
            client.start_exec(&made.id, Some(options)).await?
        {
            output.for_each(|_| std::future::ready(())).await;
        }
        Ok::<_, bollard::errors::Error>(())
    };
    // Whether it works or not, the container is kept: at worst it goes on.
    tokio::time::timeout(PATIENCE, run).await.ok();
}
