//! Writes a shuffle of two map tasks and four partitions, and reads it back.
//!
//! ```sh
//! overhand standalone --data-dir /tmp/overhand &
//! cargo run --release -p overhand-client --example write_read -- 127.0.0.1:7337
//! ```

use std::{error::Error, sync::Arc};

use overhand_client::{
    Application, ApplicationConfig, Attempt, Client, ClientConfig, Expected, Placement, ReadRequest,
};

const PARTITIONS: u32 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let coordinator = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7337".into());

    // The driver: it registers, and says where a shuffle goes. Tasks get the placement's bytes.
    let name = format!("example-{}", std::process::id());
    let application = Application::register(ApplicationConfig::new(vec![coordinator], name.parse()?))?;
    let message = application.placement(0, PARTITIONS)?.encode();

    // An executor: one client for all its tasks.
    let client = Client::new(ClientConfig::default())?;
    let placement = Arc::new(Placement::decode(&message)?);
    let mut expected = vec![];
    for map_index in 0..2 {
        let attempt = Attempt { map_index, attempt: u64::from(map_index) };
        let stored = write(&client, &placement, attempt)?;
        println!("map {map_index} wrote {stored:?} bytes per partition");
        let written = (0..PARTITIONS).filter(|partition| stored[*partition as usize] > 0);
        expected.extend(written.map(|partition| Expected { partition, attempt }));
    }
    read(&client, &placement, expected)?;

    application.remove_shuffle(0)?;
    application.end()?;
    Ok(())
}

/// A map task: words, each to the partition of its length.
fn write(client: &Client, placement: &Arc<Placement>, attempt: Attempt) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut writer = client.writer(Arc::clone(placement), attempt)?;
    let mut chunk = writer.chunk(4096)?;
    let mut used = 0;
    for word in ["a", "row", "goes", "to", "the", "partition", "of", "its", "length"] {
        let word = format!("{word} ({})", attempt.map_index);
        let record = &mut chunk.as_mut_slice()[used..used + 8 + word.len()];
        record[..4].copy_from_slice(&(word.len() as u32 % PARTITIONS).to_le_bytes());
        record[4..8].copy_from_slice(&(word.len() as u32).to_le_bytes());
        record[8..].copy_from_slice(word.as_bytes());
        used += record.len();
    }
    // More than one chunk would go through `push` first, each time that enough of them are full.
    Ok(writer.finish(vec![(chunk, used)])?)
}

/// A reduce task that reads everything.
fn read(client: &Client, placement: &Arc<Placement>, expected: Vec<Expected>) -> Result<(), Box<dyn Error>> {
    let request = ReadRequest { partitions: 0..PARTITIONS, maps: 0..2, expected };
    let mut reader = client.reader(Arc::clone(placement), request)?;
    while let Some(batch) = reader.next()? {
        let mut rest = batch.as_slice();
        while let Some((len, after)) = rest.split_first_chunk() {
            let (item, after) = after.split_at(u32::from_le_bytes(*len) as usize);
            println!("partition {}: {}", batch.partition(), String::from_utf8_lossy(item));
            rest = after;
        }
    }
    Ok(())
}
