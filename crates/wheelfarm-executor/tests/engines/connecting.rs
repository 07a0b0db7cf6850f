//! Engines that do not answer.

use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_executor::{Docker, DockerSettings, HostNetwork};
use wheelfarm_store::Store;

#[tokio::test]
async fn an_engine_that_is_not_there_comes_with_a_hint() {
    let runs = tempfile::tempdir().unwrap();
    let store = Store::open("memory:").await.unwrap();
    let closed = runs.path().join("closed.sock");
    drop(std::os::unix::net::UnixListener::bind(&closed).unwrap());
    for (host, hint) in [
        (
            "unix:///nonexistent/docker.sock".to_owned(),
            "Start the daemon",
        ),
        (format!("unix://{}", closed.display()), "Start the daemon"),
        ("tcp://127.0.0.1:1".to_owned(), "Start the daemon"),
        ("ssh://host".to_owned(), "unix:// or tcp://"),
    ] {
        let settings = DockerSettings {
            host: Some(host.clone()),
            runs_dir: runs.path().to_owned(),
            store: store.clone(),
            network: HostNetwork::default(),
        };
        let error = Docker::connect(settings).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::EngineUnavailable, "{host}");
        assert!(error.message.contains(&host), "{error}");
        let given = error.hint.unwrap();
        assert!(given.contains(hint), "{host}: {given}");
    }
}
