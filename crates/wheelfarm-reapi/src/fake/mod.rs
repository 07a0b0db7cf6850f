//! A server in the process, for tests: all in memory, and it fails how and when a test wants it to.
//!
//! It runs in threads of its own, so that it can be stopped like a process: connections break, nothing is said.

mod execution;
mod operations;
mod state;
mod storage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::byte_stream_server::ByteStreamServer;
use bazel_remote_apis::google::longrunning::operations_server::OperationsServer;
use bytes::Bytes;
use proto::action_cache_server::ActionCacheServer;
use proto::capabilities_server::CapabilitiesServer;
use proto::content_addressable_storage_server::ContentAddressableStorageServer;
use proto::execution_server::ExecutionServer;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::settings::{Settings, Tls};

pub use bazel_remote_apis::build::bazel::remote::execution::v2 as messages;
pub use bazel_remote_apis::google::protobuf::Timestamp;
pub use bazel_remote_apis::google::rpc::Status as RpcStatus;
pub use operations::{Step, completed, failed};
pub use state::{Break, Call, State, Worker};

/// What a [`Fake`] is like.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "servers can each of these or not, whatever else they can"
)]
pub struct Options {
    /// `max_batch_total_size_bytes`.
    pub batch_bytes: i64,
    /// Whether it knows zstd.
    pub zstd: bool,
    /// Whether it executes actions.
    pub execution: bool,
    /// Digest functions that it offers.
    pub digest_functions: Vec<i32>,
    /// Whether operations tell their stage.
    pub metadata: bool,
    /// What names of operations begin with.
    pub operation_prefix: String,
    /// The largest blob that it keeps; zero: any.
    pub max_blob_bytes: i64,
    /// Whether an upload can go on in the middle.
    pub resumes: bool,
    /// With TLS, and who it is then.
    pub tls: Option<FakeTls>,
}

/// Who a [`Fake`] with TLS is.
#[derive(Debug, Clone)]
pub struct FakeTls {
    /// Its certificate (PEM).
    pub certificate: Bytes,
    /// The key of it (PEM).
    pub key: Bytes,
    /// Clients must have a certificate of this authority (PEM).
    pub clients: Option<Bytes>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_bytes: 0,
            zstd: false,
            execution: true,
            digest_functions: vec![proto::digest_function::Value::Sha256 as i32],
            metadata: true,
            operation_prefix: "operations/".to_owned(),
            max_blob_bytes: 0,
            resumes: true,
            tls: None,
        }
    }
}

/// A server in the process. Stops when dropped.
#[derive(Debug)]
pub struct Fake {
    state: Arc<State>,
    options: Options,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Fake {
    /// Starts one at a free port of this machine.
    pub fn start(options: Options) -> Self {
        let state = Arc::new(State::new(options.clone()));
        let (runtime, address) = serve(&state, &options, SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            state,
            options,
            address,
            runtime: Some(runtime),
        }
    }

    /// What it has and does.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Its address, for [`Settings`].
    pub fn address(&self) -> String {
        let scheme = if self.options.tls.is_some() {
            "grpcs"
        } else {
            "grpc"
        };
        format!("{scheme}://{}", self.address)
    }

    /// Settings that connect to it.
    pub fn settings(&self) -> Settings {
        Settings {
            execution: self.address(),
            storage: None,
            instance: String::new(),
            tls: Tls::default(),
            headers: Vec::new(),
            tool: ("test".to_owned(), "1".to_owned()),
            invocation: "invocation".to_owned(),
            uploads: 4,
            patience: Duration::from_secs(20),
        }
    }

    /// Stops it as a signal would: connections break.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Starts it again at the same port, with all that it had. What was being executed goes on.
    pub fn resume(&mut self) {
        self.stop();
        let (runtime, _) = serve(&self.state, &self.options, self.address);
        self.runtime = Some(runtime);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves `state` at an address, in threads of its own.
#[expect(
    clippy::expect_used,
    reason = "a test that cannot have its server fails"
)]
fn serve(state: &Arc<State>, options: &Options, address: SocketAddr) -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("fake")
        .enable_all()
        .build()
        .expect("threads for a server");
    let entered = runtime.enter();
    let incoming = (0..200)
        .find_map(|_| {
            // The threads of the server that was stopped may still have the port.
            let bound = TcpIncoming::bind(address);
            if bound.is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
            bound.ok()
        })
        .expect("a port for a server");
    let address = incoming.local_addr().expect("the port of a server");
    // As servers are set up that are found on the net.
    let mut server = Server::builder().max_concurrent_streams(100);
    if let Some(tls) = &options.tls {
        let mut config =
            ServerTlsConfig::new().identity(Identity::from_pem(&tls.certificate, &tls.key));
        if let Some(clients) = &tls.clients {
            config = config.client_ca_root(Certificate::from_pem(clients));
        }
        server = server
            .tls_config(config)
            .expect("certificates for a server");
    }
    let service = || Service(Arc::clone(state));
    let router = server
        .add_service(CapabilitiesServer::new(service()))
        .add_service(ContentAddressableStorageServer::new(service()))
        .add_service(ByteStreamServer::new(service()))
        .add_service(ActionCacheServer::new(service()))
        .add_service(ExecutionServer::new(service()))
        .add_service(OperationsServer::new(service()));
    runtime.spawn(router.serve_with_incoming(incoming));
    operations::go_on(state);
    drop(entered);
    (runtime, address)
}

/// All services of the server.
#[derive(Clone)]
struct Service(Arc<State>);
