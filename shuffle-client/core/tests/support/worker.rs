//! A worker that keeps everything in memory and speaks the data plane's protocol, in small ways wrong if told so.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use overhand_client::{Attempt, Error, ErrorKind, Place, WorkerId};
use overhand_common::{
    block::Block,
    ids::ShardKey,
    message::{
        Ack, End, Failure, Fetch, Fin, HEADER_LEN, Header, Hello, Kind, Last, Push, RemoveShuffle, VERSION, Welcome,
        message,
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
    pub attempts: HashMap<(ShardKey, Attempt), Progress>,
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
    /// Answers new data like this when it has taken so many more pushes.
    pub fails: Option<(usize, Failure)>,
    /// Answers no push.
    pub silent: bool,
    /// Before it answers the next push, says so many times that it is busy, each after 100 ms.
    pub busy: usize,
    /// Speaks version 1 of the protocol only.
    pub old: bool,
    /// Says that each epoch older than this has grown too large.
    pub splits_before: u32,
    /// Pushes that settled an epoch.
    pub settles: usize,
    /// Opposes every settling.
    pub settles_nothing: bool,
}

#[derive(Debug, Default)]
pub struct Progress {
    pub fin: Fin,
    /// What was held after each frame.
    pub sums: Vec<Fin>,
    pub committed: bool,
}

pub struct Worker {
    pub address: String,
    id: WorkerId,
    state: Arc<Mutex<State>>,
    runtime: Option<Runtime>,
}

impl Worker {
    pub fn start() -> Self {
        Self::start_as(WORKER)
    }

    /// A worker with this identity.
    pub fn start_as(id: WorkerId) -> Self {
        let mut worker = Self { address: "127.0.0.1:0".to_owned(), id, state: Arc::default(), runtime: None };
        worker.start_again();
        worker
    }

    /// Comes back at the address that it had, with all that it held.
    pub fn start_again(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(TcpListener::bind(&self.address)).expect("a port");
        self.address = listener.local_addr().expect("bound").to_string();
        let (id, state) = (self.id, Arc::clone(&self.state));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, id, Arc::clone(&state)));
            }
        });
        self.runtime = Some(runtime);
    }

    pub fn place(&self) -> Place {
        Place { worker: self.id, address: self.address.clone() }
    }

    /// Cuts all connections and takes no more.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn serve(mut stream: TcpStream, id: WorkerId, state: Arc<Mutex<State>>) -> Option<()> {
    let mut forwards = HashMap::new();
    let mut version = VERSION;
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
                version = hello.negotiate().expect("our version");
                if state.lock().expect("no panic").old {
                    version = 1;
                }
                message(Kind::Welcome, 0, &Welcome { version, worker: id, window: 100_000 }.encode())
            }
            Kind::Push => {
                let push = Push::decode(&head, version).expect("well-formed");
                if state.lock().expect("no panic").silent {
                    continue;
                }
                let busy = std::mem::take(&mut state.lock().expect("no panic").busy);
                for _ in 0..busy {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    stream.write_all(&message(Kind::Busy, 0, &[])).await.ok()?;
                }
                let mut done = state.lock().expect("no panic").push(&push, &body, header.blocks);
                if done.is_ok()
                    && let Err(failure) = forward(&mut forwards, push, &body, header.blocks).await
                {
                    done = Err(failure);
                }
                match done {
                    Ok(ack) => message(Kind::Ack, header.stream, ack.encode(version)),
                    Err(failure) => message(Kind::Failure, header.stream, &failure.encode(version)),
                }
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

/// Sends a push on to the next of its chain.
async fn forward(
    open: &mut HashMap<Place, TcpStream>,
    mut push: Push,
    body: &[u8],
    blocks: u32,
) -> Result<(), Failure> {
    if push.chain.is_empty() {
        return Ok(());
    }
    let next = push.chain.remove(0);
    let broken = |what: &str| {
        let error = Error::new(ErrorKind::Broken, format!("forwarding to {}: {what}", next.address));
        Failure { error, suspect: Some(next.worker) }
    };
    let mut stream = match open.remove(&next) {
        Some(stream) => stream,
        None => {
            let mut stream = TcpStream::connect(&next.address).await.map_err(|_| broken("no connection"))?;
            let hello = message(Kind::Hello, 0, &Hello::new("token").encode());
            let welcome = ask(&mut stream, &hello).await.ok_or_else(|| broken("no welcome"))?;
            let welcome = Welcome::decode(&welcome.1).map_err(|_| broken("no welcome"))?;
            if welcome.worker != next.worker {
                return Err(broken("another incarnation"));
            }
            stream
        }
    };
    let head = push.encode(VERSION).expect("our version");
    let mut bytes = Header::new(Kind::Push, 1, &head, body.len() as u32, blocks).encode().to_vec();
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(body);
    let (kind, head) = ask(&mut stream, &bytes).await.ok_or_else(|| broken("no answer"))?;
    match kind {
        Kind::Ack => {
            open.insert(next, stream);
            Ok(())
        }
        _ => Err(broken(Failure::decode(&head).expect("well-formed").error.message())),
    }
}

async fn ask(stream: &mut TcpStream, bytes: &[u8]) -> Option<(Kind, Vec<u8>)> {
    stream.write_all(bytes).await.ok()?;
    let mut bytes = [0; HEADER_LEN];
    stream.read_exact(&mut bytes).await.ok()?;
    let header = Header::decode(&bytes).expect("well-formed");
    let mut head = vec![0; header.head_len as usize];
    stream.read_exact(&mut head).await.ok()?;
    Some((header.kind, head))
}

fn answer(stream: u64, done: Result<(), Error>) -> Vec<u8> {
    match done {
        Ok(()) => message(Kind::Ack, stream, &[]),
        Err(error) => message(Kind::Failure, stream, &Failure::new(error).encode(VERSION)),
    }
}

impl State {
    fn push(&mut self, push: &Push, mut body: &[u8], count: u32) -> Result<Ack, Failure> {
        self.pushes += 1;
        if let Some(error) = &self.refuses {
            return Err(Failure::new(error.clone()));
        }
        let ShardKey { shuffle, shard, epoch } = push.key;
        if let Some(Last::Settled(fin)) = push.last {
            return self.settle(push, &fin);
        }
        if let Some((left, failure)) = &mut self.fails {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => return Err(failure.clone()),
            }
        }
        let ack = Ack { split: epoch < self.splits_before };
        let progress = self.attempts.entry((push.key, push.attempt)).or_default();
        if push.frame < progress.fin.frames {
            self.repeats += 1;
            return Ok(ack);
        }
        if push.frame > progress.fin.frames || progress.committed {
            let text = format!("frame {} came too early or too late", push.frame);
            return Err(Failure::new(Error::new(ErrorKind::Retry, text)));
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
        progress.sums.push(progress.fin);
        if let Some(last) = push.last {
            assert_eq!(*last.fin(), progress.fin);
            progress.committed = true;
        }
        self.blocks.entry((shuffle, shard)).or_default().extend(blocks);
        Ok(ack)
    }

    fn settle(&mut self, push: &Push, fin: &Fin) -> Result<Ack, Failure> {
        assert!(push.frame == fin.frames && fin.frames > 0);
        let refused = |text: &str| Err(Failure::new(Error::new(ErrorKind::Retry, text)));
        self.settles += 1;
        let Some(progress) = self.attempts.get_mut(&(push.key, push.attempt)).filter(|_| !self.settles_nothing) else {
            return refused("nothing of the attempt is here");
        };
        match progress.sums.get(fin.frames as usize - 1) {
            None => return refused("fewer frames are here"),
            Some(held) => assert_eq!(held, fin),
        }
        progress.committed = true;
        Ok(Ack::default())
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
