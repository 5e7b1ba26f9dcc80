//! Calls back into Java: the driver that executors ask, and whether Spark wants a task to end.
//!
//! A native thread is attached for one call and detached again, so that none of ours keeps a JVM from ending. A
//! method is looked up at the object that Java gave, never by a class's name: the jar may have come late, by a class
//! loader that native threads don't know.

use std::{fmt, sync::Arc};

use jni::{
    Env, JavaVM, jni_sig, jni_str,
    objects::{JByteArray, JObject, JValue},
    refs::Global,
    sys::jint,
};
use overhand_client::{AppId, Driver, Error, ErrorKind, Interrupt, Placement, Result, Trouble};

use crate::guard::Failure;

/// What an answer of the driver begins with when a placement follows; else it is the code of an [`ErrorKind`], and its
/// text follows.
const ANSWERED: u8 = 0;

/// An object of Java's that any thread may call.
struct Callback {
    vm: JavaVM,
    object: Global<JObject<'static>>,
}

impl Callback {
    fn new(env: &Env<'_>, object: &JObject<'_>) -> std::result::Result<Self, Failure> {
        if object.is_null() {
            return Err(Failure::invalid("an object to call back is null"));
        }
        Ok(Self { vm: env.get_java_vm()?, object: env.new_global_ref(object)? })
    }

    /// Runs `body` with a frame of local references of its own. What Java throws is cleared and returned.
    fn call<T>(&self, body: impl FnOnce(&mut Env<'_>, &JObject<'static>) -> jni::errors::Result<T>) -> Result<T> {
        self.vm.attach_current_thread_for_scope(|env| body(env, &self.object)).map_err(|error| {
            let text = match error {
                jni::errors::Error::CaughtJavaException { name, msg, .. } => format!("{name}: {msg}"),
                error => error.to_string(),
            };
            Error::new(ErrorKind::Retry, text)
        })
    }
}

/// The driver of one application, asked through an `io.overhand.spark.jni.AskDriver`.
pub struct JavaDriver(Callback);

impl JavaDriver {
    /// Asks through `driver`.
    pub fn new(env: &Env<'_>, driver: &JObject<'_>) -> std::result::Result<Self, Failure> {
        Callback::new(env, driver).map(Self)
    }
}

impl fmt::Debug for JavaDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JavaDriver")
    }
}

impl Driver for JavaDriver {
    fn ask(&self, _: &AppId, shuffle: u32, trouble: &Trouble) -> Result<Placement> {
        let asked = self.0.call(|env, driver| {
            let trouble = env.byte_array_from_slice(&trouble.encode())?;
            let arguments = [JValue::Int(shuffle as jint), JValue::Object(&trouble)];
            let answer = env.call_method(driver, jni_str!("ask"), jni_sig!("(I[B)[B"), &arguments)?.l()?;
            let answer = env.cast_local::<JByteArray>(answer)?;
            env.convert_byte_array(&answer)
        });
        placement(&asked.map_err(|error| error.context("the driver can't be asked"))?)
    }
}

/// The placement of an answer, or the failure that it tells of.
fn placement(answer: &[u8]) -> Result<Placement> {
    match answer.split_first() {
        Some((&ANSWERED, placement)) => Placement::decode(placement),
        Some((&code, text)) => Err(Error::new(ErrorKind::from_code(code), String::from_utf8_lossy(text))),
        None => Err(Error::new(ErrorKind::Internal, "the driver's answer is empty")),
    }
}

/// Asks a `java.util.function.BooleanSupplier`. One that fails does not interrupt.
pub fn interrupt(env: &Env<'_>, interrupted: &JObject<'_>) -> std::result::Result<Interrupt, Failure> {
    let callback = Callback::new(env, interrupted)?;
    Ok(Arc::new(move || {
        let asked = callback
            .call(|env, interrupted| env.call_method(interrupted, jni_str!("getAsBoolean"), jni_sig!("()Z"), &[])?.z());
        asked.unwrap_or(false)
    }))
}

#[cfg(test)]
mod tests {
    use overhand_client::{Epoch, Layout, Place, WorkerId};

    use super::*;

    #[test]
    fn an_answer_is_a_placement_or_a_failure() {
        let worker = WorkerId { id: uuid::Uuid::from_u128(1), incarnation: 1 };
        let sent = Placement {
            version: 3,
            app: "app-1".parse().expect("valid"),
            shuffle: 7,
            layout: Layout::new(1, 1).expect("in bounds"),
            token: String::new(),
            token_expires: 0,
            coordinators: vec![],
            shards: vec![vec![Epoch { epoch: 0, chain: vec![Place { worker, address: "w:1".into() }] }]],
        };
        let mut answer = vec![ANSWERED];
        answer.extend(sent.encode());
        assert_eq!(placement(&answer), Ok(sent));
        assert_eq!(placement(&answer[..20]).expect_err("cut off").kind(), ErrorKind::Invalid);

        for kind in ErrorKind::ALL {
            let answer = [&[kind.code()], "no such shuffle".as_bytes()].concat();
            assert_eq!(placement(&answer), Err(Error::new(kind, "no such shuffle")));
        }
        assert_eq!(placement(&[]).expect_err("empty").kind(), ErrorKind::Internal);
    }
}
