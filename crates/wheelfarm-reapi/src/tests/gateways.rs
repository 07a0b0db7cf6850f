//! Connections that a gateway forgot: nothing comes through, and nobody is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{connected, execute, given, noise, patient, until, upload};
use crate::fake::messages as proto;
use crate::fake::{Options, Step, completed};
use crate::{BlobDigest, Client};

fn action() -> BlobDigest {
    BlobDigest::of("action")
}

#[tokio::test]
async fn a_connection_that_leads_nowhere_is_replaced() {
    let (fake, _) = connected(Options::default()).await;
    let gateway = Gateway::to(&fake.address());
    let mut settings = fake.settings();
    settings.execution = format!("grpc://{}", gateway.address);
    settings.patience = Duration::from_secs(1);
    let client = Client::connect(settings).await.unwrap();
    gateway.forget();
    // After a time nothing was heard; the attempt after that is on another connection.
    assert_eq!(client.find_missing(&[action()]).await.unwrap(), [action()]);
    let large = noise(1, 3_000_000);
    upload(&client, vec![given(large.clone())]).await;
    assert!(
        client
            .read(&BlobDigest::of(&large), 4_000_000)
            .await
            .unwrap()
            == large
    );
}

#[tokio::test]
async fn a_stream_that_leads_nowhere_is_noticed() {
    for metadata in [true, false] {
        let (fake, _) = connected(Options {
            metadata,
            ..Options::default()
        })
        .await;
        fake.state().work(|_, _| {
            let mut steps = vec![Step::Executing("w"), Step::Wait];
            steps.extend(completed(proto::ActionResult::default()).pop());
            steps
        });
        let gateway = Gateway::to(&fake.address());
        let mut settings = fake.settings();
        settings.execution = format!("grpc://{}", gateway.address);
        settings.patience = Duration::from_secs(1);
        let client = Client::connect(settings).await.unwrap();
        let task = tokio::spawn(async move { execute(&client, &action(), &patient()).await.0 });
        until("it is under way", || fake.state().said("operations/0") == 1).await;
        // One that is only silent is left alone.
        let asked = fake.state().count("GetCapabilities");
        until("it is looked after", || {
            fake.state().count("GetCapabilities") > asked
        })
        .await;
        assert_eq!(fake.state().count("WaitExecution"), 0);
        gateway.forget();
        until("it is followed again", || {
            fake.state().count("WaitExecution") == 1
        })
        .await;
        fake.state().proceed();
        let executed = task.await.unwrap().unwrap();
        assert_eq!((executed.attempts, executed.reconnections), (1, 1));
    }
}

/// Passes connections on, until it forgets those that there are: then nothing goes through them, and nobody is told.
struct Gateway {
    address: SocketAddr,
    forgotten: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Gateway {
    fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Self {
            address: listener.local_addr().unwrap(),
            forgotten: Arc::default(),
            accepted: Arc::default(),
        };
        let server: SocketAddr = address.trim_start_matches("grpc://").parse().unwrap();
        let (forgotten, accepted) = (
            Arc::clone(&gateway.forgotten),
            Arc::clone(&gateway.accepted),
        );
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = accepted.fetch_add(1, Ordering::SeqCst) + 1;
                let server = TcpStream::connect(server).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let forgotten = Arc::clone(&forgotten);
                    std::thread::spawn(move || {
                        pass(from, to, || forgotten.load(Ordering::SeqCst) >= number);
                    });
                }
            }
        });
        gateway
    }

    fn forget(&self) {
        self.forgotten
            .store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_forgotten: impl Fn() -> bool) {
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if !is_forgotten() && to.write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}
