//! A worker that keeps everything in memory and speaks the data plane's protocol, in small ways wrong if told so.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use overhand_client::{Attempt, Error, ErrorKind};
use overhand_common::{
    block::Block,
    ids::ShardKey,
    message::{
        End, Failure, Fetch, Fin, HEADER_LEN, Header, Hello, Kind, Push, RemoveShuffle, VERSION, Welcome, message,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use super::WORKER;

/// What a worker holds and how it answers.
#[derive(Debug, Default)]
pub struct State {
    /// Blocks as they came.
    pub blocks: BTreeMap<(u32, u32), Vec<Vec<u8>>>,
    pub attempts: HashMap<(u32, u32, Attempt), Progress>,
    pub removed: Vec<u32>,
    pub pushes: usize,
    pub repeats: usize,
    /// Sends blocks in the opposite order, two in a message.
    pub backwards: bool,
    /// Sends each block twice.
    pub twice: bool,
    /// Flips a bit of every block of this attempt at this byte, in the first so many fetches.
    pub flip: Option<(Attempt, usize, usize)>,
    /// Answers every push like this.
    pub refuses: Option<Error>,
    pub fetches: usize,
}

#[derive(Debug, Default)]
pub struct Progress {
    pub fin: Fin,
    pub committed: bool,
}

pub struct Worker {
    pub address: String,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

impl Worker {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state, _runtime: runtime }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    loop {
        let mut bytes = [0; HEADER_LEN];
        stream.read_exact(&mut bytes).await.ok()?;
        let header = Header::decode(&bytes).expect("well-formed");
        let mut head = vec![0; header.head_len as usize];
        stream.read_exact(&mut head).await.ok()?;
        header.check_head(&head).expect("well-formed");
        let mut body = vec![0; header.body_len as usize];
        stream.read_exact(&mut body).await.ok()?;
        let answer = match header.kind {
            Kind::Hello => {
                let hello = Hello::decode(&head).expect("well-formed");
                let version = hello.negotiate().expect("our version");
                message(Kind::Welcome, 0, &Welcome { version, worker: WORKER, window: 100_000 }.encode())
            }
            Kind::Push => {
                let push = Push::decode(&head, VERSION).expect("well-formed");
                let done = state.lock().expect("no panic").push(&push, &body, header.blocks);
                answer(header.stream, done)
            }
            Kind::RemoveShuffle => {
                let shuffle = RemoveShuffle::decode(&head).expect("well-formed").shuffle;
                state.lock().expect("no panic").removed.push(shuffle);
                answer(header.stream, Ok(()))
            }
            Kind::Fetch => {
                let fetch = Fetch::decode(&head, VERSION).expect("well-formed");
                let found = state.lock().expect("no panic").fetch(&fetch);
                match found {
                    Ok(messages) => {
                        let mut out = vec![];
                        for body in &messages {
                            let header = Header::new(Kind::Data, header.stream, &[], body.len() as u32, 0);
                            out.extend_from_slice(&header.encode());
                            out.extend_from_slice(body);
                        }
                        let bytes = messages.iter().map(|body| body.len() as u64).sum();
                        out.extend_from_slice(&message(Kind::End, header.stream, &End { bytes }.encode()));
                        out
                    }
                    Err(error) => answer(header.stream, Err(error)),
                }
            }
            Kind::Credit | Kind::Cancel => continue,
            other => panic!("{other:?} is no request"),
        };
        stream.write_all(&answer).await.ok()?;
    }
}

fn answer(stream: u64, done: Result<(), Error>) -> Vec<u8> {
    match done {
        Ok(()) => message(Kind::Ack, stream, &[]),
        Err(error) => message(Kind::Failure, stream, &Failure::new(error).encode(VERSION)),
    }
}

impl State {
    fn push(&mut self, push: &Push, mut body: &[u8], count: u32) -> Result<(), Error> {
        self.pushes += 1;
        if let Some(error) = &self.refuses {
            return Err(error.clone());
        }
        let ShardKey { shuffle, shard, .. } = push.key;
        let progress = self.attempts.entry((shuffle, shard, push.attempt)).or_default();
        if push.frame < progress.fin.frames {
            self.repeats += 1;
            return Ok(());
        }
        if push.frame > progress.fin.frames || progress.committed {
            return Err(Error::new(ErrorKind::Retry, format!("frame {} came too early or too late", push.frame)));
        }
        progress.fin.frames += 1;
        let mut blocks = vec![];
        while !body.is_empty() {
            let (block, rest) = Block::split(body).expect("an undamaged block");
            assert_eq!(block.header.attempt, push.attempt);
            assert_eq!(push.layout.shard_of(block.header.partition), shard);
            let len = block.header.block_len();
            progress.fin.blocks += 1;
            progress.fin.bytes += len as u64;
            progress.fin.crc_xor ^= block.crc;
            blocks.push(body[..len].to_vec());
            body = rest;
        }
        assert_eq!(blocks.len() as u32, count);
        if let Some(last) = push.last {
            assert_eq!(*last.fin(), progress.fin);
            progress.committed = true;
        }
        self.blocks.entry((shuffle, shard)).or_default().extend(blocks);
        Ok(())
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<Vec<Vec<u8>>, Error> {
        self.fetches += 1;
        let Some(stored) = self.blocks.get(&(fetch.key.shuffle, fetch.key.shard)) else {
            return Err(Error::new(ErrorKind::NotFound, format!("{} is not here", fetch.key)));
        };
        let mut messages: Vec<Vec<u8>> = vec![];
        for (number, bytes) in stored.iter().enumerate() {
            let (block, _) = Block::split(bytes).expect("kept as it was");
            if !fetch.partitions.contains(&block.header.partition) {
                continue;
            }
            let mut bytes = bytes.clone();
            if let Some((attempt, at, times)) = self.flip
                && attempt == block.header.attempt
                && self.fetches <= times
            {
                let at = at % bytes.len();
                bytes[at] ^= 4;
            }
            if self.backwards && number % 2 == 1 {
                let last = messages.last_mut().expect("one before");
                bytes.extend_from_slice(last);
                *last = bytes.clone();
            } else {
                messages.push(bytes.clone());
            }
            if self.twice {
                messages.push(bytes);
            }
        }
        if self.backwards {
            messages.reverse();
        }
        Ok(messages)
    }
}
