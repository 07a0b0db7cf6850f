//! Real engines of Remote Execution, in containers of the images that `cargo xtask images remote-execution` makes: a server on
//! one node ([`Casd`]) and a cluster with two workers ([`Cluster`]); and a cable to either that can be cut ([`Cable`]).

mod cable;
mod casd;
mod client;
mod cluster;
mod leftovers;
mod storage;

pub use cable::Cable;
pub use casd::{Casd, CasdSettings};
pub use client::{Client, Places};
pub use cluster::Cluster;
pub use storage::Storage;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::run;

/// Storage, the server on one node, and the worker.
pub const BUILDBOX: &str = "wheelfarm/buildbox:latest";
/// The scheduler.
pub const BUILDGRID: &str = "wheelfarm/buildgrid:latest";
/// The scheduler's database.
pub const POSTGRES: &str = "wheelfarm/postgres:15";

/// How long a server may take until it answers, on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// What a client of HTTP/2 says first (RFC 9113, 3.4), and settings without any.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of the frame that a server says first.
const SETTINGS: u8 = 4;

/// `docker` with these words; what it printed.
fn docker(words: &[&str]) -> Result<String> {
    run(Command::new("docker").args(words))
}

/// A port of this machine that is free now. The engine would give one as well, but another at every start.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether who listens at `port` of this machine speaks HTTP/2. The engine takes connections before there is somebody behind.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(PREFACE)?;
        let mut header = [0; 9];
        stream.read_exact(&mut header)?;
        let [_, _, _, kind, ..] = header;
        Ok(kind)
    };
    ask().is_ok_and(|kind| kind == SETTINGS)
}
