//! What every entry runs in.

use std::any::Any;

use jni::{
    Env, EnvUnowned,
    errors::ErrorPolicy,
    jni_sig, jni_str,
    objects::{JIntArray, JLongArray, JThrowable, JValue},
};
use overhand_client::{Attempt, Error, ErrorKind, ReadError};

/// Why a call failed.
#[derive(Debug)]
pub enum Failure {
    /// The client said so; with the attempts that are lost, where that is why.
    Client(ReadError),
    /// Java said so, or the arguments were not what they should be.
    Java(jni::errors::Error),
}

impl Failure {
    /// An error of ours in the call itself.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Invalid, message).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Client(error.into())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure::Client(error)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Self {
        Failure::Java(error)
    }
}

/// Runs the body of a native method. An error or a panic is thrown in Java as an `OverhandException` of its kind; a
/// Java exception that is pending stays as it is. What is returned then is `T`'s default, and Java never sees it.
pub fn guard<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    body: impl FnOnce(&mut Env<'local>) -> Result<T, Failure>,
) -> T {
    env.with_env(body).resolve::<Throw>()
}

struct Throw;

impl<T: Default> ErrorPolicy<T, Failure> for Throw {
    type Captures<'local: 'method, 'method> = ();

    fn on_error<'local: 'method, 'method>(
        env: &mut Env<'local>,
        _: &mut (),
        failure: Failure,
    ) -> jni::errors::Result<T> {
        let failure = match failure {
            Failure::Client(failure) => failure,
            Failure::Java(error) => Error::new(ErrorKind::Internal, format!("calling Java: {error}")).into(),
        };
        throw(env, &failure);
        Ok(T::default())
    }

    fn on_panic<'local: 'method, 'method>(
        env: &mut Env<'local>,
        _: &mut (),
        payload: Box<dyn Any + Send>,
    ) -> jni::errors::Result<T> {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "for an unknown reason".to_owned());
        throw(env, &Error::new(ErrorKind::Internal, format!("the native client panicked: {text}")).into());
        Ok(T::default())
    }
}

/// Leaves an exception pending. Without one Java would take the default for an answer, so failing to throw ends the
/// process.
fn throw(env: &mut Env<'_>, failure: &ReadError) {
    if env.exception_check() {
        return;
    }
    if exception(env, failure).and_then(|exception| env.throw(exception)).is_err() && env.exception_check() {
        return;
    }
    env.fatal_error(jni_str!("overhand: an error could not be thrown as a Java exception"));
}

fn exception<'local>(env: &mut Env<'local>, failure: &ReadError) -> jni::errors::Result<JThrowable<'local>> {
    let message = env.new_string(failure.error.message())?;
    let exception = if failure.kind() == ErrorKind::DataLost {
        let (maps, attempts) = lost(env, &failure.lost)?;
        env.new_object(
            jni_str!("io/overhand/spark/jni/DataLostException"),
            jni_sig!("(Ljava/lang/String;[I[J)V"),
            &[JValue::Object(&message), JValue::Object(&maps), JValue::Object(&attempts)],
        )?
    } else {
        env.new_object(
            jni_str!("io/overhand/spark/jni/OverhandException"),
            jni_sig!("(ILjava/lang/String;)V"),
            &[JValue::Int(failure.kind().code().into()), JValue::Object(&message)],
        )?
    };
    env.cast_local::<JThrowable>(exception)
}

fn lost<'local>(
    env: &mut Env<'local>,
    lost: &[Attempt],
) -> jni::errors::Result<(JIntArray<'local>, JLongArray<'local>)> {
    let indexes: Vec<i32> = lost.iter().map(|attempt| attempt.map_index as i32).collect();
    let ids: Vec<i64> = lost.iter().map(|attempt| attempt.attempt as i64).collect();
    let maps = JIntArray::new(env, indexes.len())?;
    maps.set_region(env, 0, &indexes)?;
    let attempts = JLongArray::new(env, ids.len())?;
    attempts.set_region(env, 0, &ids)?;
    Ok((maps, attempts))
}
