//! A map task's output: `io.overhand.spark.jni.Native.writer*`.
//!
//! Java fills one chunk at a time, at its address, and says how many bytes it used when it asks for the next. The
//! chunks of a batch stay where they are until the batch is pushed.

use std::sync::Arc;

use jni::{
    Env, EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass, JLongArray, JObject},
    sys::{jboolean, jint, jlong},
};
use overhand_client::{Attempt, Chunk, Client, Placement, WriteStats, Writer};

use crate::{
    application::unsigned,
    callback,
    guard::{Failure, guard},
    handle::{self, Held},
};

/// One attempt's writer, the batch that is being filled, and the chunk that Java writes into.
struct Output {
    writer: Writer,
    batch: Vec<(Chunk, usize)>,
    open: Option<Chunk>,
}

impl Held for Output {
    const NAME: &'static str = "writer";
    const TAG: u64 = 0x7772_6974;
}

impl Output {
    /// Closes the open chunk with `used` bytes of whole records in it.
    fn close_chunk(&mut self, used: usize) -> Result<(), Failure> {
        match self.open.take() {
            Some(chunk) if used > chunk.capacity() => {
                Err(Failure::invalid(format!("{used} bytes are used of a chunk of {}", chunk.capacity())))
            }
            Some(chunk) if used > 0 => {
                self.batch.push((chunk, used));
                Ok(())
            }
            Some(_) => Ok(()),
            None if used > 0 => Err(Failure::invalid(format!("{used} bytes are used of no chunk"))),
            None => Ok(()),
        }
    }

    /// The next chunk, of at least `min_len` bytes, which begins with the `tail` bytes that follow the `used` ones in
    /// the chunk before: a record that has begun there and does not fit.
    fn next_chunk(&mut self, used: usize, tail: usize, min_len: usize, push: bool) -> Result<(i64, i64), Failure> {
        let mut next = self.writer.chunk(min_len.max(tail))?;
        if tail > 0 {
            let from = self.open.as_mut().map(Chunk::as_mut_slice).and_then(|open| open.get(used..used + tail));
            let from = from.ok_or_else(|| Failure::invalid("a record's beginning is not in the open chunk"))?;
            next.as_mut_slice()[..tail].copy_from_slice(from);
        }
        self.close_chunk(used)?;
        if push {
            self.push()?;
        }
        let at = (next.as_mut_ptr() as i64, next.capacity() as i64);
        self.open = Some(next);
        Ok(at)
    }

    fn push(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            self.writer.push(batch)?;
        }
        Ok(())
    }
}

/// A writer of one attempt's output to the shuffle of this placement. `interrupted` is a
/// `java.util.function.BooleanSupplier`: while a call waits, it says whether the task shall end.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn writer_open<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    client: jlong,
    placement: JByteArray<'local>,
    map_index: jint,
    attempt: jlong,
    interrupted: JObject<'local>,
) -> jlong {
    guard(env, |env| {
        // SAFETY: Java holds its lock.
        let client = unsafe { handle::shared::<Client>(client)? };
        let placement = Placement::decode(&env.convert_byte_array(&placement)?)?;
        let attempt = Attempt { map_index: unsigned(map_index, "a map index")?, attempt: attempt as u64 };
        let mut writer = client.writer(Arc::new(placement), attempt)?;
        writer.set_interrupt(callback::interrupt(env, &interrupted)?);
        Ok(handle::open(Output { writer, batch: vec![], open: None }))
    })
}

/// Closes the open chunk with `used` bytes, pushes the batch if told so, and opens the next chunk: its address and
/// capacity are put into `chunk`. It begins with the `tail` bytes that follow the used ones.
#[jni_mangle("io.overhand.spark.jni.Native")]
#[allow(clippy::too_many_arguments, reason = "one call for a chunk of many records")]
pub fn writer_next<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    writer: jlong,
    used: jlong,
    tail: jlong,
    min_len: jlong,
    push: jboolean,
    chunk: JLongArray<'local>,
) {
    guard(env, |env| {
        // SAFETY: Java holds its lock.
        let output = unsafe { handle::alone::<Output>(writer)? };
        let (address, capacity) = output.next_chunk(size(used)?, size(tail)?, size(min_len)?, push)?;
        Ok(chunk.set_region(env, 0, &[address, capacity])?)
    })
}

/// Closes the open chunk with `used` bytes and pushes the batch.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn writer_push<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, writer: jlong, used: jlong) {
    guard(env, |_| {
        // SAFETY: Java holds its lock.
        let output = unsafe { handle::alone::<Output>(writer)? };
        output.close_chunk(size(used)?)?;
        output.push()
    })
}

/// Waits until what was pushed is encoded, so that its memory is given back.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn writer_drain<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, writer: jlong) {
    guard(env, |_| {
        // SAFETY: Java holds its lock.
        let output = unsafe { handle::alone::<Output>(writer)? };
        // A push waits for the batch before, whatever it brings itself.
        Ok(output.writer.push(vec![])?)
    })
}

/// Closes the open chunk with `used` bytes, sends everything and waits for the commit; the stored bytes of each
/// partition.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn writer_finish<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    writer: jlong,
    used: jlong,
) -> JLongArray<'local> {
    guard(env, |env| {
        // SAFETY: Java holds its lock.
        let output = unsafe { handle::alone::<Output>(writer)? };
        output.close_chunk(size(used)?)?;
        let stored = output.writer.finish(std::mem::take(&mut output.batch))?;
        let stored: Vec<i64> = stored.into_iter().map(|bytes| bytes as i64).collect();
        let sizes = JLongArray::new(env, stored.len())?;
        sizes.set_region(env, 0, &stored)?;
        Ok(sizes)
    })
}

/// Puts raw bytes, stored bytes and bytes held now into `stats`.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn writer_stats<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, writer: jlong, stats: JLongArray<'local>) {
    guard(env, |env: &mut Env<'local>| {
        // SAFETY: Java holds its lock.
        let output = unsafe { handle::alone::<Output>(writer)? };
        let WriteStats { raw_bytes, stored_bytes, held_bytes, .. } = output.writer.stats();
        Ok(stats.set_region(env, 0, &[raw_bytes as i64, stored_bytes as i64, held_bytes as i64])?)
    })
}

/// Gives everything back; an attempt that was not finished is given up.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn writer_close<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, writer: jlong) {
    guard(env, |_| {
        // SAFETY: Java holds its lock, and forgets the handle.
        unsafe { handle::close::<Output>(writer)? };
        Ok(())
    })
}

fn size(bytes: jlong) -> Result<usize, Failure> {
    usize::try_from(bytes).map_err(|_| Failure::invalid(format!("{bytes} is no number of bytes")))
}
