//! Little-endian reading and writing of fixed fields, with every length checked.

use crate::error::{Error, Kind};

/// Bytes that are not what their format says; the text names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {format}: {what}")]
pub struct Malformed {
    /// The format that was being read.
    pub format: &'static str,
    /// What is wrong, and where.
    pub what: String,
}

impl Malformed {
    /// A malformed `format`, because of `what`.
    pub fn new(format: &'static str, what: impl Into<String>) -> Self {
        Self { format, what: what.into() }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Error::new(Kind::Invalid, malformed.to_string())
    }
}

/// Reads fields off the front of a slice.
pub(crate) struct Fields<'a> {
    format: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(format: &'static str, bytes: &'a [u8]) -> Self {
        Self { format, rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize, field: &str) -> Result<&'a [u8], Malformed> {
        if self.rest.len() < len {
            return Err(self.malformed(format!("{field} needs {len} bytes, {} are left", self.rest.len())));
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, field)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, field: &str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(field)?[0])
    }

    pub(crate) fn u16(&mut self, field: &str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u64(&mut self, field: &str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u128(&mut self, field: &str) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.array(field)?))
    }

    /// A string with a 16-bit length before it, of `max` bytes at most.
    pub(crate) fn str(&mut self, max: usize, field: &str) -> Result<&'a str, Malformed> {
        let len = usize::from(self.u16(field)?);
        if len > max {
            return Err(self.malformed(format!("{field} has {len} bytes, {max} are allowed")));
        }
        let bytes = self.take(len, field)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed(format!("{field} is not UTF-8")))
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left over.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.malformed(format!("{left} bytes too many"))),
        }
    }

    pub(crate) fn malformed(&self, what: String) -> Malformed {
        Malformed::new(self.format, what)
    }
}

/// Appends a string with a 16-bit length before it; what does not fit is cut at a character's end.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    out.extend_from_slice(&(len as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..len]);
}
