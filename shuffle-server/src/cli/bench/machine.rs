//! What the machine can do by itself: memory, checksums, compression, its own network, its disk.

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use lz4::block::{CompressionMode, compress_to_buffer, decompress_to_buffer};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::progress::Progress;

/// As much as is touched one after another: more than any cache holds.
const AREA: usize = 64 << 20;
/// How long one measurement in memory goes on.
const LONG: Duration = Duration::from_millis(500);
/// Bytes that go over the network for one measurement, and the most that go to disk.
const MOVED: u64 = 1 << 30;
/// Bytes that are compressed at a time, as the blocks of a shuffle.
const BLOCK: usize = 64 << 10;

/// One thing that was measured.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What, in a word or two.
    pub name: &'static str,
    /// How, for people.
    pub how: &'static str,
    /// Bytes per second.
    pub rate: f64,
}

/// Measures everything; files go into `folder`, of at most `size` bytes.
pub fn measure(size: u64, folder: &Path, progress: &mut Progress) -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![];
    let mut add = |name, how, rate| figures.push(Figure { name, how, rate });
    progress.step("this machine: memory, CRC-32, LZ4");
    // Half of each item is random, half zero: LZ4 has something to find and something to pass over.
    let mut from = vec![0u8; AREA];
    let mut rng = StdRng::seed_from_u64(1);
    from.chunks_exact_mut(64).for_each(|item| rng.fill(&mut item[..32]));
    let mut to = vec![1u8; AREA];
    add("memcpy", "64 MiB, one thread", repeated(|| copy(&from, &mut to)));
    add("CRC-32", "64 MiB, one thread", repeated(|| sum(&from)));
    let (packing, unpacking) = lz4(&from[..AREA / 8])?;
    add("LZ4", "compress, 64 KiB at a time, half of it random, one thread", packing);
    add("LZ4 back", "decompress the same", unpacking);
    drop((from, to));
    progress.step("this machine: loopback TCP");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    add("loopback, 64 KiB", "one connection, writes of 64 KiB", runtime.block_on(loopback(64 << 10))?);
    add("loopback, 1 MiB", "one connection, writes of 1 MiB", runtime.block_on(loopback(1 << 20))?);
    progress.step("this machine: disk");
    add("disk", "sequential writes of 1 MiB, fsync at the end", disk(size.min(MOVED), folder)?);
    Ok(figures)
}

/// Bytes per second of what handles as many bytes as it returns.
fn repeated(mut once: impl FnMut() -> usize) -> f64 {
    once();
    let (begun, mut bytes) = (Instant::now(), 0);
    while begun.elapsed() < LONG {
        bytes += once();
    }
    bytes as f64 / begun.elapsed().as_secs_f64()
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    to.copy_from_slice(black_box(from));
    black_box(to).len()
}

fn sum(bytes: &[u8]) -> usize {
    black_box(crc32fast::hash(black_box(bytes)));
    bytes.len()
}

/// Bytes per second, uncompressed, there and back.
fn lz4(raw: &[u8]) -> anyhow::Result<(f64, f64)> {
    let mut room = vec![0; lz4::block::compress_bound(BLOCK)?];
    let mut packed = vec![];
    for block in raw.chunks(BLOCK) {
        let len = compress_to_buffer(block, Some(CompressionMode::FAST(1)), false, &mut room)?;
        packed.push(room[..len].to_vec());
    }
    let mut out = vec![0; BLOCK];
    for (block, packed) in raw.chunks(BLOCK).zip(&packed) {
        let len = decompress_to_buffer(packed, Some(BLOCK as i32), &mut out)?;
        ensure!(out[..len] == *block, "LZ4 does not give back what it took");
    }
    let packing = repeated(|| {
        let pack = |block| compress_to_buffer(block, Some(CompressionMode::FAST(1)), false, &mut room);
        black_box(raw.chunks(BLOCK).map(pack).filter_map(Result::ok).sum::<usize>());
        raw.len()
    });
    let unpacking = repeated(|| {
        let unpack = |block: &Vec<u8>| decompress_to_buffer(block, Some(BLOCK as i32), &mut out).ok();
        packed.iter().filter_map(unpack).sum()
    });
    Ok((packing, unpacking))
}

/// Bytes per second from one task of this process to another one.
async fn loopback(write: usize) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let receiving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let (mut room, mut taken) = (vec![0; 1 << 20], 0);
        loop {
            match stream.read(&mut room).await? {
                0 => return std::io::Result::Ok(taken),
                some => taken += some as u64,
            }
        }
    });
    let piece = vec![7; write];
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await?;
        for _ in 0..MOVED / piece.len() as u64 {
            stream.write_all(&piece).await?;
        }
        stream.shutdown().await
    });
    sending.await?.context("loopback, sending")?;
    let taken = receiving.await?.context("loopback, receiving")?;
    Ok(taken as f64 / begun.elapsed().as_secs_f64())
}

/// Bytes per second into a new file, which is removed.
fn disk(size: u64, folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("sequential");
    let mut piece = vec![0u8; 1 << 20];
    StdRng::seed_from_u64(2).fill(piece.as_mut_slice());
    let pieces = size.div_ceil(piece.len() as u64).max(1);
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let begun = Instant::now();
    (0..pieces).try_for_each(|_| file.write_all(&piece)).context("writing to the data folder")?;
    file.sync_all().context("fsync in the data folder")?;
    let seconds = begun.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok((pieces * piece.len() as u64) as f64 / seconds)
}
