//! The driver's side: `io.overhand.spark.jni.Native.application*`.

use std::time::Duration;

use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass, JLongArray, JString},
    sys::{jint, jlong},
};
use overhand_client::{AppId, Application, ApplicationConfig, Error, ErrorKind, Trouble};

use crate::{
    client::counted,
    guard::{Failure, guard},
    handle::{self, Held},
};

impl Held for Application {
    const NAME: &'static str = "application";
    const TAG: u64 = 0x6170_706c;
}

/// Registers an application with the coordinators (`host:port,…`). `replicas` 0 takes what they say; `tags` are
/// `name,…` or empty.
#[jni_mangle("io.overhand.spark.jni.Native")]
#[allow(clippy::too_many_arguments, reason = "called once per application")]
pub fn application_open<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    coordinators: JString<'local>,
    app: JString<'local>,
    tenant: JString<'local>,
    secret: JString<'local>,
    replicas: jint,
    tags: JString<'local>,
    connect_timeout_millis: jlong,
    silence_millis: jlong,
) -> jlong {
    guard(env, |env| {
        let app: AppId =
            app.try_to_string(env)?.parse().map_err(|error| Error::new(ErrorKind::Invalid, format!("{error}")))?;
        let coordinators = names(&coordinators.try_to_string(env)?);
        let replicas = unsigned(replicas, "replicas")?;
        let config = ApplicationConfig {
            tenant: tenant.try_to_string(env)?,
            registration_secret: secret.try_to_string(env)?,
            replicas: (replicas > 0).then_some(replicas),
            tags: names(&tags.try_to_string(env)?),
            connect_timeout: Duration::from_millis(connect_timeout_millis.unsigned_abs()),
            silence: Duration::from_millis(silence_millis.unsigned_abs()),
            ..ApplicationConfig::new(coordinators, app)
        };
        Ok(handle::open(Application::register(config)?))
    })
}

/// Places a shuffle: the bytes of its `Placement`.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn application_placement<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    application: jlong,
    shuffle: jint,
    partitions: jint,
) -> JByteArray<'local> {
    guard(env, |env| {
        // SAFETY: Java holds its lock for reading.
        let application = unsafe { handle::shared::<Application>(application)? };
        let placement = application.placement(unsigned(shuffle, "a shuffle")?, unsigned(partitions, "partitions")?)?;
        Ok(env.byte_array_from_slice(&placement.encode())?)
    })
}

/// Does what a task's `trouble` calls for: the bytes of the `Placement` as it is then.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn application_ask<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    application: jlong,
    shuffle: jint,
    trouble: JByteArray<'local>,
) -> JByteArray<'local> {
    guard(env, |env| {
        // SAFETY: Java holds its lock for reading.
        let application = unsafe { handle::shared::<Application>(application)? };
        let trouble = Trouble::decode(&env.convert_byte_array(&trouble)?)?;
        let placement = application.ask(unsigned(shuffle, "a shuffle")?, &trouble)?;
        Ok(env.byte_array_from_slice(&placement.encode())?)
    })
}

/// Tells that so many map outputs are lost, for the application's status. `text` says why, for people.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn application_report_lost<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    application: jlong,
    shuffle: jint,
    outputs: jint,
    text: JString<'local>,
) {
    guard(env, |env| {
        // SAFETY: Java holds its lock for reading.
        let application = unsafe { handle::shared::<Application>(application)? };
        let outputs = unsigned(outputs, "map outputs")?.into();
        application.report_lost(unsigned(shuffle, "a shuffle")?, outputs, &text.try_to_string(env)?);
        Ok(())
    })
}

/// What the application has asked of others so far: a number for each name of `counterNames`.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn application_counters<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    application: jlong,
) -> JLongArray<'local> {
    guard(env, |env| {
        // SAFETY: Java holds its lock for reading.
        let application = unsafe { handle::shared::<Application>(application)? };
        counted(env, &application.counters())
    })
}

/// Deletes a shuffle at its workers.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn application_remove_shuffle<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    application: jlong,
    shuffle: jint,
) {
    guard(env, |_| {
        // SAFETY: Java holds its lock for reading.
        let application = unsafe { handle::shared::<Application>(application)? };
        Ok(application.remove_shuffle(unsigned(shuffle, "a shuffle")?)?)
    })
}

/// Ends the application and gives its handle back, whether or not a coordinator could be told.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn application_end<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, application: jlong) {
    guard(env, |_| {
        // SAFETY: Java holds its lock for writing, and forgets the handle.
        match unsafe { handle::close::<Application>(application)? } {
            Some(application) => Ok(application.end()?),
            None => Ok(()),
        }
    })
}

fn names(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A number that Java may only have as a positive one.
pub fn unsigned(number: jint, what: &str) -> Result<u32, Failure> {
    u32::try_from(number).map_err(|_| Failure::invalid(format!("{what} can't be {number}")))
}
