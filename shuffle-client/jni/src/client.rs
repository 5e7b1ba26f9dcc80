//! One per executor: `io.overhand.spark.jni.Native.client*`.

use std::{sync::Arc, time::Duration};

use jni::{
    Env, EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass, JLongArray, JObject, JString},
    sys::{jint, jlong},
};
use overhand_client::{Client, ClientConfig, Codec, Counters, Error, ErrorKind};

use crate::{
    application::unsigned,
    callback::JavaDriver,
    guard::{Failure, guard},
    handle::{self, Held},
};

impl Held for Client {
    const NAME: &'static str = "client";
    const TAG: u64 = 0x636c_6965;
}

/// Starts a client. `key` may be null: no encryption. `writer_memory` and `reader_memory` are the most bytes that one
/// writer or reader may hold; `slots` is how many of each run at a time. `driver` is an
/// `io.overhand.spark.jni.AskDriver`.
#[jni_mangle("io.overhand.spark.jni.Native")]
#[allow(clippy::too_many_arguments, reason = "called once per executor")]
pub fn client_open<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    codec: jint,
    zstd_level: jint,
    key: JByteArray<'local>,
    writer_memory: jlong,
    reader_memory: jlong,
    slots: jint,
    threads: jint,
    connect_timeout_millis: jlong,
    silence_millis: jlong,
    driver: JObject<'local>,
) -> jlong {
    guard(env, |env| {
        let codec = u8::try_from(codec).ok().and_then(|code| Codec::from_code(code).ok());
        let codec = codec.ok_or_else(|| Error::new(ErrorKind::Invalid, "the codec is unknown"))?;
        let encryption_key = if key.is_null() { None } else { Some(env.convert_byte_array(&key)?) };
        let writer_memory = writer_memory.unsigned_abs() as usize;
        let reader_memory = reader_memory.unsigned_abs() as usize;
        let slots = unsigned(slots, "task slots")?.max(1) as usize;
        let threads = unsigned(threads, "threads")?.max(1) as usize;
        // A writer holds the batch that is filled (a quarter at most: Java's bound), the one that is encoded, what
        // waits for the next, and what is on its way.
        let config = ClientConfig {
            codec,
            zstd_level,
            encryption_key,
            carry_limit: (writer_memory / 4).min(1 << 30),
            write_window: writer_memory / 8,
            read_window: reader_memory / 2,
            idle_memory: slots * writer_memory / 2,
            encode_threads: threads,
            io_threads: threads.div_ceil(4),
            connect_timeout: Duration::from_millis(connect_timeout_millis.unsigned_abs()),
            silence: Duration::from_millis(silence_millis.unsigned_abs()),
            ..ClientConfig::default()
        };
        Ok(handle::open(Client::with_driver(config, Arc::new(JavaDriver::new(env, &driver)?))?))
    })
}

/// How many bytes of records make a good batch for so many partitions.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn client_batch_size<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    client: jlong,
    partitions: jint,
) -> jlong {
    guard(env, |_| {
        // SAFETY: Java holds its lock.
        let client = unsafe { handle::shared::<Client>(client)? };
        Ok(client.batch_size(unsigned(partitions, "partitions")?) as jlong)
    })
}

/// The names of all counters, with commas.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn counter_names<'local>(env: EnvUnowned<'local>, _class: JClass<'local>) -> JString<'local> {
    guard(env, |env| Ok(env.new_string(Counters::NAMES.join(","))?))
}

/// What a client has asked of others so far: a number for each of the names.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn client_counters<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, client: jlong) -> JLongArray<'local> {
    guard(env, |env| {
        // SAFETY: Java holds its lock.
        let client = unsafe { handle::shared::<Client>(client)? };
        counted(env, &client.counters())
    })
}

/// A number for each of the names of the counters.
pub fn counted<'local>(env: &mut Env<'local>, counters: &Counters) -> Result<JLongArray<'local>, Failure> {
    let values = counters.values().map(|count| count as i64);
    let array = JLongArray::new(env, values.len())?;
    array.set_region(env, 0, &values)?;
    Ok(array)
}

/// Stops a client when the last of its writers and readers is closed.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn client_close<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, client: jlong) {
    guard(env, |_| {
        // SAFETY: Java holds its lock, and forgets the handle.
        unsafe { handle::close::<Client>(client)? };
        Ok(())
    })
}
