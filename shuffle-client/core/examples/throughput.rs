//! Measures writing and reading: rows like Spark's `UnsafeRow`s, some partitions, some map tasks one after another.
//!
//! ```sh
//! cargo run --release -p overhand-client --example throughput -- 127.0.0.1:7337 64 lz4 text
//! ```

use std::{error::Error, sync::Arc, time::Instant};

use overhand_client::{
    Application, ApplicationConfig, Attempt, Client, ClientConfig, Codec, Expected, Placement, ReadRequest,
};

const MAPS: u32 = 32;
const ROWS: u64 = 20_000_000;
const ROW: usize = 104;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let coordinator = arguments.next().unwrap_or_else(|| "127.0.0.1:7337".into());
    let partitions: u32 = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let codec = match arguments.next().as_deref() {
        Some("none") => Codec::None,
        Some("zstd") => Codec::Zstd,
        _ => Codec::Lz4,
    };
    let text = arguments.next().as_deref() == Some("text");

    let name = format!("throughput-{}", std::process::id());
    let application = Application::register(ApplicationConfig::new(vec![coordinator], name.parse()?))?;
    let client = Client::new(ClientConfig { codec, ..ClientConfig::default() })?;
    let placement = Arc::new(application.placement(0, partitions)?);
    println!("{partitions} partitions, {} shards, {codec:?}", placement.layout.shards());

    let rows = rows(text);
    let mut expected = vec![vec![]; partitions as usize];
    let (mut filling, mut raw, mut stored, mut blocks, mut waited) = (0.0, 0, 0, 0, 0);
    let start = (Instant::now(), cpu());
    for map_index in 0..MAPS {
        let attempt = Attempt { map_index, attempt: u64::from(map_index) };
        let mut writer = client.writer(Arc::clone(&placement), attempt)?;
        let size = client.batch_size(partitions);
        let mut left = ROWS / u64::from(MAPS);
        let mut seed = u64::from(map_index) << 40;
        let bytes = loop {
            let before = Instant::now();
            let mut chunk = writer.chunk(size)?;
            let used = fill(chunk.as_mut_slice(), &rows, partitions, &mut left, &mut seed);
            filling += before.elapsed().as_secs_f64();
            if left == 0 {
                break writer.finish(vec![(chunk, used)])?;
            }
            writer.push(vec![(chunk, used)])?;
        };
        let stats = writer.stats();
        raw += stats.raw_bytes;
        stored += stats.stored_bytes;
        blocks += stats.blocks;
        waited += stats.wait_nanos;
        let written = (0..partitions).filter(|partition| bytes[*partition as usize] > 0);
        written.for_each(|partition| expected[partition as usize].push(Expected { partition, attempt }));
    }
    let (wall, used) = (start.0.elapsed().as_secs_f64(), cpu() - start.1);
    println!(
        "write: {wall:.2} s, {used:.2} CPU s ({filling:.2} of them to fill chunks): {:.2} ns/byte; \
         {raw} bytes, {stored} stored ({:.2}) in {blocks} blocks; waited {:.2} s",
        (used - filling) * 1e9 / raw as f64,
        stored as f64 / raw as f64,
        waited as f64 / 1e9
    );

    let start = (Instant::now(), cpu());
    let (mut items, mut sum, mut waited, mut blocks) = (0, 0u64, 0, 0);
    for partition in 0..partitions {
        let expected = std::mem::take(&mut expected[partition as usize]);
        let request = ReadRequest { partitions: partition..partition + 1, maps: 0..MAPS, expected };
        let mut reader = client.reader(Arc::clone(&placement), request)?;
        while let Some(batch) = reader.next()? {
            items += batch.items();
            sum ^= batch.as_slice().iter().step_by(64).map(|byte| u64::from(*byte)).sum::<u64>();
        }
        let stats = reader.stats();
        waited += stats.wait_nanos;
        blocks += stats.blocks;
    }
    let (wall, used) = (start.0.elapsed().as_secs_f64(), cpu() - start.1);
    println!(
        "read: {wall:.2} s, {used:.2} CPU s: {:.2} ns/byte; {items} items ({sum:x}) in {blocks} blocks; waited {:.2} s",
        used * 1e9 / raw as f64,
        waited as f64 / 1e9
    );
    println!("{:?}, {} MiB of buffers", client.counters(), client.memory() >> 20);
    let placement: &Placement = &placement;
    application.remove_shuffle(placement.shuffle)?;
    application.end()?;
    Ok(())
}

/// Rows of a null mask and twelve numbers: an id, five that do not compress, six small ones; or, `text`, of a null mask,
/// two numbers and text with names that repeat.
fn rows(text: bool) -> Vec<[u8; ROW]> {
    let numbers = |id: u64| {
        let column = |at: u64| match at {
            0 => id,
            1..6 => id.wrapping_mul(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(at) | 1),
            _ => id % (1000 * at + 1),
        };
        let mut row = [0; ROW];
        for (at, bytes) in (0..).zip(row[8..].chunks_exact_mut(8)) {
            bytes.copy_from_slice(&column(at).to_le_bytes());
        }
        row
    };
    let words = |id: u64| {
        let hash = mix(id);
        let (name, region, priority) = (hash % 99_999_999, hash % 131, hash % 5);
        let text = format!("customer {name:08} of region {region:03}, order state open, priority {priority:02}");
        let mut row = [0; ROW];
        row[8..16].copy_from_slice(&id.to_le_bytes());
        row[16..24].copy_from_slice(&hash.to_le_bytes());
        row[24..32].copy_from_slice(&((32u64 << 32) | 72).to_le_bytes());
        row[32..32 + text.len()].copy_from_slice(text.as_bytes());
        row
    };
    (0..200_000).map(|id| if text { words(id) } else { numbers(id) }).collect()
}

fn fill(chunk: &mut [u8], rows: &[[u8; ROW]], partitions: u32, left: &mut u64, seed: &mut u64) -> usize {
    let mut used = 0;
    while *left > 0 && used + 8 + ROW <= chunk.len() {
        let record = &mut chunk[used..used + 8 + ROW];
        let partition = (mix(*seed) % u64::from(partitions)) as u32;
        record[..4].copy_from_slice(&partition.to_le_bytes());
        record[4..8].copy_from_slice(&(ROW as u32).to_le_bytes());
        record[8..].copy_from_slice(&rows[(*seed % rows.len() as u64) as usize]);
        used += record.len();
        *left -= 1;
        *seed += 1;
    }
    used
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// CPU seconds of this process so far (Linux: ticks of 10 ms).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
