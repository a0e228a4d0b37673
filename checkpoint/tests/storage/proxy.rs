//! A network that fails: a proxy on TCP between the client and a server, told what to do to the connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    /// The next so many connections are cut once the client has sent this much on them.
    CutUp {
        connections: usize,
        after: usize,
    },
    /// The next so many are cut once the server has answered this much.
    CutDown {
        connections: usize,
        after: usize,
    },
    /// The next so many of these requests reach the server whole, and their answers are lost.
    LoseAnswer {
        requests: usize,
        to: &'static str,
    },
    /// Each piece waits so long, both ways.
    Slow(Duration),
    /// Bytes are taken, and nothing ever comes back.
    Silent,
}

pub(crate) struct Proxy {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    /// How often a fault was done.
    done: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy =
            Self { port, fault: Arc::new(Mutex::new(Fault::None)), done: Arc::default(), closed: Arc::default() };
        let (fault, done, closed) = (Arc::clone(&proxy.fault), Arc::clone(&proxy.done), Arc::clone(&proxy.closed));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::SeqCst) {
                    // From here on nobody listens.
                    return;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let up = Pipe { from: client.try_clone().unwrap(), to: server.try_clone().unwrap(), is_up: true };
                let down = Pipe { from: server, to: client, is_up: false };
                let lost = Arc::new(AtomicBool::new(false));
                for pipe in [up, down] {
                    let (fault, done, lost) = (Arc::clone(&fault), Arc::clone(&done), Arc::clone(&lost));
                    std::thread::spawn(move || pipe.run(&fault, &done, &lost));
                }
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
        self.done.store(0, Ordering::SeqCst);
    }

    /// How often the fault has happened since it was set.
    pub(crate) fn happened(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Connections are refused from here on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.set(Fault::CutUp { connections: usize::MAX, after: 0 });
    }
}

struct Pipe {
    from: TcpStream,
    to: TcpStream,
    is_up: bool,
}

impl Pipe {
    fn run(mut self, fault: &Mutex<Fault>, done: &AtomicUsize, lost: &AtomicBool) {
        let mut buffer = vec![0; 64 << 10];
        let mut passed = 0;
        loop {
            let read = match self.from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            passed += read;
            if !self.is_up && lost.load(Ordering::SeqCst) {
                done.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if self.is_cut(fault, passed, &buffer[..read], done, lost) || self.to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }

    /// Does what the fault says to a piece; true where the connection ends here.
    fn is_cut(&self, fault: &Mutex<Fault>, passed: usize, piece: &[u8], done: &AtomicUsize, lost: &AtomicBool) -> bool {
        let mut fault = fault.lock().unwrap();
        match &mut *fault {
            Fault::CutUp { connections, after } if self.is_up && *connections > 0 && passed > *after => {
                *connections -= 1;
                done.fetch_add(1, Ordering::SeqCst);
                true
            }
            Fault::CutDown { connections, after } if !self.is_up && *connections > 0 && passed > *after => {
                *connections -= 1;
                done.fetch_add(1, Ordering::SeqCst);
                true
            }
            Fault::LoseAnswer { requests, to } if self.is_up && *requests > 0 => {
                let head = String::from_utf8_lossy(piece);
                let line = head.lines().next().unwrap_or_default();
                if line.starts_with("PUT") && line.contains(*to) {
                    *requests -= 1;
                    lost.store(true, Ordering::SeqCst);
                }
                false
            }
            Fault::Slow(time) => {
                let time = *time;
                drop(fault);
                // The delay is the fault.
                std::thread::sleep(time);
                done.fetch_add(1, Ordering::SeqCst);
                false
            }
            Fault::Silent => {
                drop(fault);
                done.fetch_add(1, Ordering::SeqCst);
                // Until the client gives up.
                let mut rest = [0; 1024];
                let mut from = &self.from;
                while from.read(&mut rest).is_ok_and(|read| read > 0) {}
                true
            }
            _ => false,
        }
    }
}
