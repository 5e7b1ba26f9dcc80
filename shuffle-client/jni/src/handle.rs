//! Native objects that Java owns: a number for each, which Java gives back in every call and once at the end.

use jni::sys::jlong;
use overhand_client::{Error, ErrorKind};

use crate::guard::Failure;

/// A type that Java holds handles of.
pub trait Held: Sized {
    /// What it is, for messages.
    const NAME: &'static str;
    /// Stands in front of each object, and differs for each type: a handle of another type is noticed.
    const TAG: u64;
}

#[repr(C)]
struct Object<T> {
    tag: u64,
    value: T,
}

/// Gives an object to Java, which gives it back to [`close`] once.
pub fn open<T: Held>(value: T) -> jlong {
    Box::into_raw(Box::new(Object { tag: T::TAG, value })) as jlong
}

/// The object of a handle, for one call that has it alone.
///
/// # Safety
/// `handle` comes from [`open`], was not closed, and no other thread uses it during the call.
pub unsafe fn alone<'call, T: Held>(handle: jlong) -> Result<&'call mut T, Failure> {
    // SAFETY: as the caller promises, and `check` found a live object of this type.
    check::<T>(handle).map(|pointer| unsafe { &mut (*pointer).value })
}

/// The object of a handle, for one call among others.
///
/// # Safety
/// `handle` comes from [`open`], and is not closed before the call ends.
pub unsafe fn shared<'call, T: Held + Sync>(handle: jlong) -> Result<&'call T, Failure> {
    // SAFETY: as the caller promises, and `check` found a live object of this type.
    check::<T>(handle).map(|pointer| unsafe { &(*pointer).value })
}

fn check<T: Held>(handle: jlong) -> Result<*mut Object<T>, Failure> {
    let pointer = handle as *mut Object<T>;
    if pointer.is_null() {
        return Err(Error::new(ErrorKind::Closed, format!("the {} was closed", T::NAME)).into());
    }
    // SAFETY: a handle that isn't zero comes from `open` and is alive, as the callers promise; the tag never changes,
    // and is at the same place in every object.
    let tag = unsafe { (&raw const (*pointer).tag).read() };
    if tag != T::TAG {
        return Err(Error::new(ErrorKind::Internal, format!("the handle is not of a {}", T::NAME)).into());
    }
    Ok(pointer)
}

/// Takes the object back. A null handle is none.
///
/// # Safety
/// As of [`alone`], and the handle is not used again.
pub unsafe fn close<T: Held>(handle: jlong) -> Result<Option<T>, Failure> {
    if handle == 0 {
        return Ok(None);
    }
    let pointer = check::<T>(handle)?;
    // SAFETY: `open` made it from a box, and the caller gives it up.
    let object = unsafe { Box::from_raw(pointer) };
    Ok(Some(object.value))
}
