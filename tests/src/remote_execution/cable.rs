//! A connection to a server that can be cut: who is connected hears nothing any more, not even that the other end is gone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::Result;

/// How much is forwarded at a time: little enough that a cut takes place in the middle of what is sent.
const CHUNK: usize = 16 << 10;

/// Forwards what comes in at a port of its own to another port of this machine, and back. It ends with this.
#[derive(Debug)]
pub struct Cable {
    port: u16,
    line: Arc<Line>,
}

#[derive(Debug, Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_cut: bool,
    has_ended: bool,
    /// Both ends of all connections.
    streams: Vec<TcpStream>,
    forwarded: u64,
    /// It is cut when so much has been forwarded.
    cut_at: Option<u64>,
}

impl Cable {
    /// A cable to `port` of this machine.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let cable = Self {
            port: listener.local_addr()?.port(),
            line: Arc::default(),
        };
        let line = Arc::clone(&cable.line);
        std::thread::spawn(move || accept(&listener, port, &line));
        Ok(cable)
    }

    /// `http://127.0.0.1:<port>`, its own end.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on nothing passes. Connections stay, new ones are taken, and nobody answers.
    pub fn cut(&self) {
        self.line.change(|state| state.is_cut = true);
    }

    /// As [`Self::cut`], when another `bytes` have passed, either way.
    pub fn cut_after(&self, bytes: u64) {
        self.line
            .change(|state| state.cut_at = Some(state.forwarded + bytes));
    }

    /// Everything passes again, what was held up as well.
    pub fn mend(&self) {
        self.line.change(|state| {
            state.is_cut = false;
            state.cut_at = None;
        });
    }

    /// Ends all connections, as a router does that has forgotten them. New ones can be made.
    pub fn reset(&self) {
        self.line.change(|state| {
            for stream in state.streams.drain(..) {
                stream.shutdown(Shutdown::Both).ok();
            }
        });
    }

    /// Whether it is cut.
    pub fn is_cut(&self) -> bool {
        self.line.look(|state| state.is_cut)
    }

    /// How many bytes have passed, both ways together.
    pub fn forwarded(&self) -> u64 {
        self.line.look(|state| state.forwarded)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.reset();
        self.line.change(|state| state.has_ended = true);
        // The listener waits for one more.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl Line {
    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until something may pass, and counts it; false at the end.
    fn pass(&self, bytes: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.cut_at.is_some_and(|limit| state.forwarded >= limit) {
            state.is_cut = true;
            state.cut_at = None;
        }
        while state.is_cut && !state.has_ended {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.forwarded += bytes;
        !state.has_ended
    }
}

fn accept(listener: &TcpListener, port: u16, line: &Arc<Line>) {
    for near in listener.incoming() {
        if line.look(|state| state.has_ended) {
            return;
        }
        let Ok(near) = near else { continue };
        let line = Arc::clone(line);
        // Who comes while it is cut is connected, and waits.
        std::thread::spawn(move || connect(&near, port, &line));
    }
}

fn connect(near: &TcpStream, port: u16, line: &Arc<Line>) {
    if !line.pass(0) {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else {
        near.shutdown(Shutdown::Both).ok();
        return;
    };
    for (from, to) in [(near, &far), (&far, near)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
            return;
        };
        if let Ok(kept) = from.try_clone() {
            line.change(|state| state.streams.push(kept));
        }
        let line = Arc::clone(line);
        std::thread::spawn(move || forward(from, to, &line));
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, line: &Line) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).unwrap_or(0);
        let bytes = chunk.get(..read).unwrap_or_default();
        // That an end is gone does not pass either.
        if !line.pass(read as u64) || read == 0 || to.write_all(bytes).is_err() {
            to.shutdown(Shutdown::Both).ok();
            from.shutdown(Shutdown::Both).ok();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    std::io::copy(&mut stream, &mut back).ok();
                });
            }
        });
        port
    }

    fn connect_to(cable: &Cable) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", cable.port)).unwrap();
        let patience = Some(Duration::from_millis(300));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    fn answer(stream: &mut TcpStream) -> Option<[u8; 5]> {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    #[test]
    fn what_is_held_up_by_a_cut_arrives_when_it_is_mended() {
        let cable = Cable::to(echo()).unwrap();
        let mut stream = connect_to(&cable);
        stream.write_all(b"hello").unwrap();
        assert_eq!(answer(&mut stream), Some(*b"hello"));
        cable.cut();
        stream.write_all(b"there").unwrap();
        assert_eq!(answer(&mut stream), None);
        // Neither does one that comes now.
        let mut late = connect_to(&cable);
        late.write_all(b"also ").unwrap();
        assert_eq!(answer(&mut late), None);
        cable.mend();
        for (stream, text) in [(&mut stream, b"there"), (&mut late, b"also ")] {
            stream.set_read_timeout(None).unwrap();
            assert_eq!(answer(stream), Some(*text));
        }
        assert_eq!(cable.forwarded(), 30);
    }

    #[test]
    fn a_cut_can_come_in_the_middle() {
        let cable = Cable::to(echo()).unwrap();
        let mut stream = connect_to(&cable);
        cable.cut_after(5);
        stream.write_all(b"hello").unwrap();
        assert_eq!(answer(&mut stream), None);
        assert!(cable.is_cut());
        cable.mend();
        stream.set_read_timeout(None).unwrap();
        assert_eq!(answer(&mut stream), Some(*b"hello"));
    }

    #[test]
    fn connections_can_be_ended() {
        let cable = Cable::to(echo()).unwrap();
        let mut stream = connect_to(&cable);
        stream.write_all(b"hello").unwrap();
        assert_eq!(answer(&mut stream), Some(*b"hello"));
        cable.reset();
        stream.set_read_timeout(None).unwrap();
        assert_eq!(stream.read(&mut [0; 5]).unwrap_or(0), 0);
        let mut stream = connect_to(&cable);
        stream.set_read_timeout(None).unwrap();
        stream.write_all(b"again").unwrap();
        assert_eq!(answer(&mut stream), Some(*b"again"));
    }
}
