//! What an action sees, and what comes back.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, Exit};
use wheelfarm_executor::HostNetwork;
use wheelfarm_types::Digest;

use crate::engine::{Engine, lines, quiet};

on_every_engine! {
    builds_are_hermetic,
    outputs_the_log_and_the_exit_code_come_back,
    inputs_larger_than_one_chunk_arrive_whole,
    an_action_with_network_gets_the_hosts_proxies_and_certificates,
    trees_are_unpacked_where_they_belong_and_kept,
    tools_are_stored_once_and_run,
    a_missing_input_or_image_is_named,
    a_command_that_is_not_there_is_the_actions_failure,
}

async fn builds_are_hermetic(engine: Engine) {
    let mut action = engine.action(
        r"tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sed 's/^/interface=/'
        echo user=$(id -u):$(id -g)
        grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
        for path in /x /usr/x /etc/x /in/x /in/given; do
          if true 2>/dev/null >>$path; then echo writable=$path; fi
        done
        for path in /tmp/x /build/x; do
          if ! true >$path; then echo unwritable=$path; fi
        done
        echo host=$(cat /etc/hostname) pwd=$PWD umask=$(umask)
        env | sort
        mount -t tmpfs none /tmp 2>/dev/null && echo mounted
        true",
    );
    let given = engine.store.put("given".into()).await.unwrap();
    action.inputs.insert("given".to_owned(), given);
    action
        .environment
        .insert("GIVEN".to_owned(), "1".to_owned());
    let log = engine.log_of(&action).await;
    let mut log: Vec<_> = log.lines().collect();
    log.retain(|line| !line.starts_with("PATH=") && !line.starts_with("PWD="));
    let expected = [
        "interface=lo",
        "user=65532:65532",
        "CapBnd:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "GIVEN=1",
        "HOME=/tmp",
        "HOSTNAME=wheelfarm",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "host=wheelfarm pwd=/build umask=0022",
    ];
    log.sort_unstable();
    let mut sorted = expected;
    sorted.sort_unstable();
    assert_eq!(log, sorted);
}

async fn outputs_the_log_and_the_exit_code_come_back(engine: Engine) {
    let mut action = engine.action(
        "echo to stdout; echo to stderr >&2
        mkdir -p out/sub && cat /in/a/b/one >out/sub/copy && printf 2 >out/two
        mkdir out/empty; exit 3",
    );
    let digest = engine.store.put("one".into()).await.unwrap();
    action.inputs.insert("a/b/one".to_owned(), digest);
    let (sink, shown) = lines(|_| {});
    let cancel = CancellationToken::new();
    let executor = engine.tested.executor();
    let result = executor.run(&action, sink.into(), &cancel).await.unwrap();
    assert_eq!(result.exit, Exit::Code(3));
    assert_eq!(result.log, "to stdout\nto stderr\n");
    assert_eq!(*shown.lock().unwrap(), ["to stdout", "to stderr"]);
    let outputs = [("sub/copy", "one"), ("two", "2")];
    assert_eq!(
        result.outputs,
        BTreeMap::from(outputs.map(|(path, text)| (path.to_owned(), Bytes::from(text))))
    );
    assert_eq!(executor.started(), 1);
    engine.assert_clean().await;
}

async fn inputs_larger_than_one_chunk_arrive_whole(engine: Engine) {
    let bytes: Vec<u8> = (0..5_000_001_u32)
        .map(|n| n.to_le_bytes()[n as usize % 3])
        .collect();
    let digest = engine.store.put(bytes.into()).await.unwrap();
    let mut action = engine.action("sha256sum /in/large | cut -d' ' -f1; ls -l /in/large");
    action.inputs.insert("large".to_owned(), digest);
    let log = engine.log_of(&action).await;
    assert!(log.starts_with(&digest.to_string()), "{log}");
    assert!(log.contains("-rw-r--r-- 1 root root"), "{log}");
}

async fn an_action_with_network_gets_the_hosts_proxies_and_certificates(mut engine: Engine) {
    let bundle = engine.runs.path().join("ca.pem");
    fs_err::write(&bundle, "certificates").unwrap();
    let network = HostNetwork {
        ca_bundle: Some(bundle),
        proxies: BTreeMap::from([("no_proxy".to_owned(), "localhost".to_owned())]),
        index: BTreeMap::from([("PIP_INDEX_URL".to_owned(), "http://i".to_owned())]),
    };
    engine.reconnect(network).await;
    let script = "cat ${SSL_CERT_FILE:-/dev/null}; echo; echo ${PIP_INDEX_URL:-no} ${no_proxy:-no} $(tail -n +3 /proc/net/dev | grep -vq ' lo:' && echo network)";
    let mut action = engine.action(script);
    assert_eq!(engine.log_of(&action).await, "\nno no\n");
    action.network = true;
    let expected = "certificates\nhttp://i localhost network\n";
    assert_eq!(engine.log_of(&action).await, expected);
}

async fn trees_are_unpacked_where_they_belong_and_kept(engine: Engine) {
    let mut archive = tar::Builder::new(Vec::new());
    // Its own, since trees are shared between runs.
    let text = engine.runs.path().display().to_string();
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o755);
    archive
        .append_data(&mut header, "bin/x", text.as_bytes())
        .unwrap();
    let bytes = archive.into_inner().unwrap();
    let tree = engine.store.put(bytes.into()).await.unwrap();
    let mut action = engine.action(
        "cat /opt/here/x-1/bin/x; if true 2>/dev/null >/opt/here/x-1/y; then echo writable; fi",
    );
    action.trees.insert("/opt/here/x-1".to_owned(), tree);
    for _ in 0..2 {
        assert_eq!(engine.log_of(&action).await, text);
    }
    let kept = engine.kept(&tree).await;
    assert_eq!(kept.len(), engine.names_of_a_tool(), "{kept:?}");
    engine.remove_kept(&tree).await;
}

async fn tools_are_stored_once_and_run(engine: Engine) {
    // Its own, since tools are shared between runs.
    let own = engine.runs.path().display();
    let tool = format!("#!/bin/sh\n# {own}\necho \"tool got $1\"\n");
    let digest = engine.store.put(tool.into()).await.unwrap();
    let mut action = engine.action(
        "/tools/greet/greet hello; true 2>/dev/null >>/tools/greet/greet || echo read-only",
    );
    action.tools.insert("greet".to_owned(), digest);
    let cancel = CancellationToken::new();
    let executor = engine.tested.executor();
    let run = || executor.run(&action, quiet().into(), &cancel);
    let (one, two) = tokio::join!(run(), run());
    let log = one.unwrap().log;
    assert_eq!(log, "tool got hello\nread-only\n");
    assert_eq!(log, two.unwrap().log);
    engine.assert_clean().await;
    let kept = engine.kept(&digest).await;
    assert_eq!(kept.len(), engine.names_of_a_tool(), "{kept:?}");
    engine.remove_kept(&digest).await;
}

async fn a_missing_input_or_image_is_named(engine: Engine) {
    let mut action = engine.action("true");
    let absent = Digest::of("absent");
    action.inputs.insert("x".to_owned(), absent);
    let error = engine.run(&action).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Store);
    assert!(error.message.contains(&absent.to_string()), "{error}");

    let mut action = engine.action("true");
    "wheelfarm/absent:1".clone_into(&mut action.image);
    let error = engine.run(&action).await.unwrap_err();
    assert!(error.message.contains("wheelfarm/absent:1"), "{error}");
}

async fn a_command_that_is_not_there_is_the_actions_failure(engine: Engine) {
    let mut action = engine.action("");
    action.command = vec!["no-such-program".to_owned()];
    let result = engine.run(&action).await.unwrap();
    assert_eq!(result.exit, Exit::Code(127));
    let log = String::from_utf8_lossy(&result.log).into_owned();
    assert!(log.contains("no-such-program"), "{log}");
}
