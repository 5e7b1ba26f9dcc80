//! The data plane spoken plainly: frames go out whose blocks are all of the same bytes, which stay in a core's cache, and
//! what comes in is counted and thrown away. So it takes little beside the worker that is measured.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufReader, IoSlice, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    ops::Range,
};

use anyhow::{Context, bail, ensure};
use crc32fast::Hasher;
use overhand_client::Place;
use overhand_common::{
    Malformed,
    block::{Codec, Flags, HEADER_LEN as BLOCK_HEADER, Header as BlockHeader},
    ids::Attempt,
    message::{End, Failure, Fetch, Fin, HEADER_LEN, Header, Hello, Kind, Push, RemoveShuffle, Welcome, message},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use socket2::{Domain, Socket, Type};

/// Bytes that are taken in at a time.
const ROOM: usize = 256 << 10;
/// Bytes that the kernel may hold for it.
const WINDOW: usize = 4 << 20;

/// The body of one frame after the other of an attempt: one block for each partition, all with the same payload.
#[derive(Debug)]
pub struct Body {
    headers: Vec<BlockHeader>,
    /// The headers as they go out.
    encoded: Vec<[u8; BLOCK_HEADER]>,
    payload: Vec<u8>,
    /// Has gone over the payload.
    sum: Hasher,
    /// What the frames so far add up to.
    sums: Fin,
}

impl Body {
    /// Blocks of `payload` random bytes for each of `partitions`.
    pub fn new(attempt: Attempt, partitions: Range<u32>, payload: usize) -> Self {
        let header = |partition| BlockHeader {
            payload_len: payload as u32,
            raw_len: payload as u32,
            codec: Codec::None,
            flags: Flags::default(),
            partition,
            attempt,
            seq: 0,
            items: 1,
        };
        let headers: Vec<_> = partitions.map(header).collect();
        let (mut payload, mut sum) = (vec![0; payload], Hasher::new());
        StdRng::seed_from_u64(1).fill(payload.as_mut_slice());
        sum.update(&payload);
        Self { headers, encoded: vec![], payload, sum, sums: Fin::default() }
    }

    /// Begins with another attempt.
    pub fn restart(&mut self, attempt: Attempt) {
        self.headers.iter_mut().for_each(|header| header.attempt = attempt);
        self.sums = Fin::default();
    }

    /// The next frames are for as many partitions from `first` on.
    pub fn move_to(&mut self, first: u32) {
        (first..).zip(&mut self.headers).for_each(|(partition, header)| header.partition = partition);
    }

    /// Makes the next frame of it; returns its number.
    pub fn next(&mut self) -> u32 {
        let number = self.sums.frames;
        self.encoded.clear();
        for header in &mut self.headers {
            header.seq = number;
            let (encoded, crc) = header.encode(&self.sum);
            self.encoded.push(encoded);
            self.sums.crc_xor ^= crc;
        }
        self.sums.frames += 1;
        self.sums.blocks += self.headers.len() as u64;
        self.sums.bytes += self.len();
        number
    }

    /// Bytes of its blocks.
    pub fn len(&self) -> u64 {
        (self.headers.len() * (BLOCK_HEADER + self.payload.len())) as u64
    }

    /// What its frames so far add up to.
    pub fn sums(&self) -> Fin {
        self.sums
    }
}

/// A connection to a worker.
#[derive(Debug)]
pub struct Peer {
    output: TcpStream,
    input: BufReader<TcpStream>,
    welcome: Welcome,
    streams: u64,
    /// Bytes of frames that are not acknowledged, in the order in which they were sent.
    unacknowledged: VecDeque<u64>,
}

impl Peer {
    /// Connects and says hello.
    pub fn connect(place: &Place, token: &str) -> anyhow::Result<Self> {
        let output = dial(&place.address).with_context(|| place.address.clone())?;
        output.set_nodelay(true)?;
        let mut input = BufReader::with_capacity(HEADER_LEN + 64, output.try_clone()?);
        (&output).write_all(&message(Kind::Hello, 0, &Hello::new(token).encode()))?;
        let (_, head) = expect(&mut input, Kind::Welcome)?;
        let welcome = Welcome::decode(&head).map_err(malformed)?;
        Ok(Self { output, input, welcome, streams: 0, unacknowledged: VecDeque::new() })
    }

    /// Sends a frame; before that waits for acknowledgements, as the window asks.
    pub fn push(&mut self, push: &Push, body: &Body) -> anyhow::Result<()> {
        while !self.unacknowledged.is_empty()
            && self.unacknowledged.iter().sum::<u64>() + body.len() > self.welcome.window
        {
            self.acknowledged()?;
        }
        self.streams += 1;
        let head = push.encode(self.welcome.version).map_err(|error| anyhow::anyhow!("{error}"))?;
        let header =
            Header::new(Kind::Push, self.streams, &head, body.len() as u32, body.headers.len() as u32).encode();
        let blocks = body.encoded.iter().flat_map(|header| [header, body.payload.as_slice()]);
        let mut slices: Vec<_> = [&header, head.as_slice()].into_iter().chain(blocks).map(IoSlice::new).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let sent = self.output.write_vectored(rest)?;
            ensure!(sent > 0, "the worker takes no more");
            IoSlice::advance_slices(&mut rest, sent);
        }
        self.unacknowledged.push_back(body.len());
        Ok(())
    }

    /// Waits until every frame is acknowledged.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        while !self.unacknowledged.is_empty() {
            self.acknowledged()?;
        }
        Ok(())
    }

    fn acknowledged(&mut self) -> anyhow::Result<()> {
        expect(&mut self.input, Kind::Ack)?;
        self.unacknowledged.pop_front();
        Ok(())
    }

    /// Fetches blocks and throws them away; how many bytes there were. No frame may be unacknowledged.
    pub fn fetch(&mut self, fetch: Fetch) -> anyhow::Result<u64> {
        self.fetch_all([fetch], 1)
    }

    /// The same with many fetches, of which up to `most` are under way at a time, as those of an executor's tasks.
    pub fn fetch_all(&mut self, fetches: impl IntoIterator<Item = Fetch>, most: usize) -> anyhow::Result<u64> {
        let (mut fetches, mut room, mut all) = (fetches.into_iter().fuse(), vec![0; ROOM], 0);
        let mut found = HashMap::new();
        loop {
            while found.len() < most
                && let Some(fetch) = fetches.next()
            {
                self.streams += 1;
                let request = message(Kind::Fetch, self.streams, &fetch.encode(self.welcome.version));
                self.output.write_all(&request)?;
                found.insert(self.streams, 0);
            }
            if found.is_empty() {
                return Ok(all);
            }
            let (header, head) = next(&mut self.input)?;
            let so_far = found.get_mut(&header.stream).context("an answer to no fetch")?;
            match header.kind {
                Kind::Data => {
                    let mut left = header.body_len as usize;
                    while left > 0 {
                        let part = left.min(ROOM);
                        self.input.read_exact(&mut room[..part])?;
                        left -= part;
                    }
                    *so_far += u64::from(header.body_len);
                }
                Kind::End => {
                    let End { bytes } = End::decode(&head).map_err(malformed)?;
                    ensure!(bytes == *so_far, "{bytes} bytes were sent and {so_far} came");
                    all += bytes;
                    found.remove(&header.stream);
                }
                other => bail!("{other:?} is no answer to a fetch"),
            }
        }
    }

    /// Has a shuffle deleted.
    pub fn remove(&mut self, shuffle: u32) -> anyhow::Result<()> {
        self.settle()?;
        self.streams += 1;
        let request = message(Kind::RemoveShuffle, self.streams, &RemoveShuffle { shuffle }.encode());
        self.output.write_all(&request)?;
        expect(&mut self.input, Kind::Ack)?;
        Ok(())
    }
}

/// A connection that spares the worker, as far as the system allows, what peers on other machines would not cost it.
/// Where a congestion control paces what is sent, as BBR does, its timers fire on the worker's core and the peer's packets
/// are sent from there; and a window that begins small has the worker send small packets. Both are set before the
/// connection begins: a socket that was paced once remains so.
fn dial(address: &str) -> io::Result<TcpStream> {
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_congestion(b"reno");
    let _ = socket.set_recv_buffer_size(WINDOW);
    socket.connect(&address.into())?;
    Ok(socket.into())
}

/// The next message of this kind; signs of life are passed over.
fn expect(input: &mut impl Read, kind: Kind) -> anyhow::Result<(Header, Vec<u8>)> {
    let (header, head) = next(input)?;
    ensure!(header.kind == kind, "{:?} came instead of {kind:?}", header.kind);
    Ok((header, head))
}

/// The next message's header and head, which is not a sign of life.
fn next(input: &mut impl Read) -> anyhow::Result<(Header, Vec<u8>)> {
    loop {
        let mut bytes = [0; HEADER_LEN];
        input.read_exact(&mut bytes).context("the worker has left")?;
        let header = Header::decode(&bytes).map_err(malformed)?;
        let mut head = vec![0; header.head_len as usize];
        input.read_exact(&mut head)?;
        match header.kind {
            Kind::Busy => {}
            Kind::Failure => bail!("the worker says: {}", Failure::decode(&head).map_err(malformed)?.error),
            _ => return Ok((header, head)),
        }
    }
}

fn malformed(malformed: Malformed) -> anyhow::Error {
    anyhow::anyhow!("{malformed}")
}
