//! What containers reach.

use std::net::{IpAddr, UdpSocket};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::support::place;

/// Greets everybody who comes to `address`; returns the port.
async fn greet(address: IpAddr) -> u16 {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"hello\n").await.ok();
        }
    });
    port
}

/// The address of this machine on the way to others; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Reads a line from `host` and `port`, or prints `refused`.
fn ask(host: &str, port: u16) -> String {
    format!(
        "timeout 5 bash -c 'read line </dev/tcp/{host}/{port} && echo $line' 2>/dev/null || echo refused\n"
    )
}

#[tokio::test]
async fn without_network_nothing_is_reached() {
    let Some(place) = place().await else { return };
    let local = greet([127, 0, 0, 1].into()).await;
    let mut script = ask("127.0.0.1", local);
    let mut expected = "refused\n".to_owned();
    if let Some(address) = own_address() {
        let port = greet(address).await;
        script.push_str(&ask(&address.to_string(), port));
        expected.push_str("refused\n");
    }
    assert_eq!(place.output("none", &script).await, expected);
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "it says why it is skipped")]
async fn with_network_others_are_reached_and_this_machines_loopback_is_not() {
    let Some(place) = place().await else { return };
    let (Some(address), Ok(_)) = (own_address(), &place.machine.way_out) else {
        eprintln!("skipped: {:?}", place.machine.network_advice());
        return;
    };
    let (local, open) = (greet([127, 0, 0, 1].into()).await, greet(address).await);
    for user in [65532, 0] {
        let script = [
            ask(&address.to_string(), open),
            ask("127.0.0.1", local),
            ask("10.0.2.2", local),
            "cat /etc/resolv.conf\n".to_owned(),
        ];
        let mut container = place.container("network", &script.concat());
        container.user = user;
        container.network = true;
        let (_, printed) = place.run(&container).await.unwrap();
        assert_eq!(
            printed, "hello\nrefused\nrefused\nnameserver 10.0.2.3\n",
            "{user}"
        );
    }
}

#[tokio::test]
async fn without_a_way_out_only_trusted_work_has_network() {
    let Some(mut place) = place().await else {
        return;
    };
    place.machine.way_out = Err("install slirp4netns".to_owned());
    let local = greet([127, 0, 0, 1].into()).await;
    let mut container = place.container("host", &ask("127.0.0.1", local));
    container.network = true;
    let error = place.run(&container).await.unwrap_err();
    assert!(error.hint.unwrap().contains("slirp4netns"));
    container.user = 0;
    let (_, printed) = place.run(&container).await.unwrap();
    assert_eq!(printed, "hello\n");
}
