//! The driver's side: `io.overhand.spark.jni.Native.application*`.

use std::time::Duration;

use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass, JString},
    sys::{jint, jlong},
};
use overhand_client::{AppId, Application, ApplicationConfig, Error, ErrorKind};

use crate::{
    guard::{Failure, guard},
    handle::{self, Held},
};

impl Held for Application {
    const NAME: &'static str = "application";
    const TAG: u64 = 0x6170_706c;
}

/// Registers an application with the first coordinator (of `host:port,…`) that answers.
#[jni_mangle("io.overhand.spark.jni.Native")]
pub fn application_open<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    coordinators: JString<'local>,
    app: JString<'local>,
    tenant: JString<'local>,
    secret: JString<'local>,
    connect_timeout_millis: jlong,
) -> jlong {
    guard(env, |env| {
        let app: AppId =
            app.try_to_string(env)?.parse().map_err(|error| Error::new(ErrorKind::Invalid, format!("{error}")))?;
        let coordinators = coordinators.try_to_string(env)?.split(',').map(str::to_owned).collect();
        let config = ApplicationConfig {
            tenant: tenant.try_to_string(env)?,
            registration_secret: secret.try_to_string(env)?,
            connect_timeout: Duration::from_millis(connect_timeout_millis.unsigned_abs()),
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

/// A number that Java may only have as a positive one.
pub fn unsigned(number: jint, what: &str) -> Result<u32, Failure> {
    u32::try_from(number).map_err(|_| Failure::invalid(format!("{what} can't be {number}")))
}
