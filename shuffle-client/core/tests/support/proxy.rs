//! A TCP proxy that keeps its address while what is behind it moves, and that cuts connections after so many bytes.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    thread,
};

/// Forwards to one address until told to cut.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<String>,
    /// Bytes until the next cut of the connection that reaches it; beyond counting if never.
    up: AtomicI64,
    down: AtomicI64,
    cuts: AtomicUsize,
}

impl Shared {
    fn target(&self) -> String {
        self.target.lock().expect("no panic").clone()
    }
}

const NEVER: i64 = i64::MAX;

impl Proxy {
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Arc::new(Shared {
            target: Mutex::new(target.to_owned()),
            up: AtomicI64::new(NEVER),
            down: AtomicI64::new(NEVER),
            cuts: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(accepting.target()) else { continue };
                for socket in [&client, &server] {
                    socket.set_nodelay(true).expect("a socket");
                }
                let (back, forth) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let (up, down) = (Arc::clone(&accepting), Arc::clone(&accepting));
                thread::spawn(move || copy(client, server, &up.up, &up.cuts));
                thread::spawn(move || copy(forth, back, &down.down, &down.cuts));
            }
        });
        Self { address, shared }
    }

    /// Cuts a connection, once, when `bytes` more have gone to the worker.
    pub fn cut_up_after(&self, bytes: i64) {
        self.shared.up.store(bytes, Ordering::SeqCst);
    }

    /// Cuts a connection, once, when `bytes` more have come from the worker.
    pub fn cut_down_after(&self, bytes: i64) {
        self.shared.down.store(bytes, Ordering::SeqCst);
    }

    /// New connections go there from now on.
    pub fn retarget(&self, target: &str) {
        *self.shared.target.lock().expect("no panic") = target.to_owned();
    }

    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, left: &AtomicI64, cuts: &AtomicUsize) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let before = left.load(Ordering::SeqCst);
        let mut len = read;
        if before != NEVER {
            let after = left.fetch_sub(read as i64, Ordering::SeqCst) - read as i64;
            if after <= 0 {
                left.store(NEVER, Ordering::SeqCst);
                cuts.fetch_add(1, Ordering::SeqCst);
                len = (read as i64 + after).max(0) as usize;
            }
        }
        if to.write_all(&buffer[..len]).is_err() || len < read {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
