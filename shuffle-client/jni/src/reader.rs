//! A reduce task's input: `io.overhand.spark.jni.Native.reader*`.
//!
//! Java reads a batch at its address until it asks for the next. The last batch stays until the reader is closed:
//! whoever holds the last row may look at it after the end.

use std::sync::Arc;

use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass, JLongArray, JObject},
    sys::{jint, jlong},
};
use overhand_client::{Attempt, Batch, Client, Expected, Placement, ReadRequest, ReadStats, Reader};

use crate::{
    application::unsigned,
    callback,
    guard::guard,
    handle::{self, Held},
};

/// What [`reader_next`] answers: a batch. Zero is no answer: what Java gets when the call failed.
const BATCH: jint = 1;
/// What [`reader_next`] answers: everything was handed out.
const END: jint = 2;

/// A reader and the batch that Java is reading.
struct Input {
    reader: Reader,
    batch: Option<Batch>,
}

impl Held for Input {
    const NAME: &'static str = "reader";
    const TAG: u64 = 0x7265_6164;
}

/// A reader of a range of partitions and map indexes. `expected` has two numbers for each non-empty piece: the
/// partition (upper half) with the map index (lower half), and the attempt. `interrupted` is as of a writer.
#[jni_mangle("io.overhand.spark.jni.Native")]
#[allow(clippy::too_many_arguments, reason = "called once per task")]
pub fn reader_open<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    client: jlong,
    placement: JByteArray<'local>,
    start_partition: jint,
    end_partition: jint,
    start_map: jint,
    end_map: jint,
    expected: JLongArray<'local>,
    interrupted: JObject<'local>,
) -> jlong {
    guard(env, |env| {
        // SAFETY: Java holds its lock.
        let client = unsafe { handle::shared::<Client>(client)? };
        let placement = Placement::decode(&env.convert_byte_array(&placement)?)?;
        let mut numbers = vec![0; expected.len(env)?];
        expected.get_region(env, 0, &mut numbers)?;
        let expected = numbers
            .chunks_exact(2)
            .map(|pair| Expected {
                partition: (pair[0] as u64 >> 32) as u32,
                attempt: Attempt { map_index: pair[0] as u32, attempt: pair[1] as u64 },
            })
            .collect();
        let request = ReadRequest {
            partitions: unsigned(start_partition, "a partition")?..unsigned(end_partition, "a partition")?,
            maps: unsigned(start_map, "a map index")?..unsigned(end_map, "a map index")?,
            expected,
        };
        let mut reader = client.reader(Arc::new(placement), request)?;
        reader.set_interrupt(callback::interrupt(env, &interrupted)?);
        Ok(handle::open(Input { reader, batch: None }))
    })
}

/// Gives the batch before back and gets the next: its address, its bytes, its partition and its items are put into
/// `batch`.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn reader_next<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    reader: jlong,
    batch: JLongArray<'local>,
) -> jint {
    guard(env, |env| {
        // SAFETY: Java holds its lock.
        let input = unsafe { handle::alone::<Input>(reader)? };
        // The batch before goes back only when there is another.
        let Some(next) = input.reader.next()? else { return Ok(END) };
        let bytes = next.as_slice();
        let numbers = [bytes.as_ptr() as i64, bytes.len() as i64, i64::from(next.partition()), next.items() as i64];
        input.batch = Some(next);
        batch.set_region(env, 0, &numbers)?;
        Ok(BATCH)
    })
}

/// Puts stored bytes, blocks, nanoseconds of waiting and bytes held now into `stats`.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn reader_stats<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, reader: jlong, stats: JLongArray<'local>) {
    guard(env, |env| {
        // SAFETY: Java holds its lock.
        let input = unsafe { handle::alone::<Input>(reader)? };
        let ReadStats { stored_bytes, blocks, wait_nanos, held_bytes, .. } = input.reader.stats();
        let numbers = [stored_bytes as i64, blocks as i64, wait_nanos as i64, held_bytes as i64];
        Ok(stats.set_region(env, 0, &numbers)?)
    })
}

/// Gives everything back, the last batch included.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn reader_close<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, reader: jlong) {
    guard(env, |_| {
        // SAFETY: Java holds its lock, and forgets the handle.
        unsafe { handle::close::<Input>(reader)? };
        Ok(())
    })
}
