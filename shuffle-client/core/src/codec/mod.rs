//! What happens to a block's payload: compression, then encryption; and back.
//!
//! - [`Packer`] and [`Unpacker`] hold the state that is worth reusing, one per thread at work.
//! - [`Effort`] learns from samples how hard it pays to compress one writer's data.
//! - [`stream_vbyte`] packs rows of numbers.
//! - [`Cipher`] is AES-GCM with the block's header as associated data.

mod cipher;
mod effort;
mod stream_vbyte;

use std::{fmt, io, sync::Arc};

use lz4::block::CompressionMode;
use overhand_common::block::{Codec, Flags, Header};

use self::effort::{Level, Sizes};
pub(crate) use self::{
    cipher::{Cipher, OVERHEAD},
    effort::Effort,
};
use crate::{Error, ErrorKind, Result};

/// Makes payloads.
pub(crate) struct Packer {
    codec: Codec,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    cipher: Option<Arc<Cipher>>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("codec", &self.codec).field("encrypts", &self.cipher.is_some()).finish()
    }
}

impl Packer {
    pub(crate) fn new(codec: Codec, zstd_level: i32, cipher: Option<Arc<Cipher>>) -> Result<Self> {
        let zstd = match codec {
            Codec::Zstd => Some(zstd::bulk::Compressor::new(zstd_level).map_err(zstd_error)?),
            Codec::None | Codec::Lz4 | Codec::StreamVByte => None,
        };
        Ok(Self { codec, zstd, cipher })
    }

    /// The most that the payload of `raw` bytes can take.
    pub(crate) fn bound(raw: usize) -> usize {
        raw + OVERHEAD
    }

    /// Puts `raw` into `out` (of [`Packer::bound`] bytes or more) as a payload; says in `header`, whose other fields
    /// must be set, how long it is and what was done to it.
    pub(crate) fn pack(&mut self, raw: &[u8], effort: &mut Effort, header: &mut Header, out: &mut [u8]) -> Result<()> {
        header.raw_len = raw.len() as u32;
        header.codec = Codec::None;
        if raw.is_empty() {
            header.payload_len = 0;
            return Ok(());
        }
        let room = match &self.cipher {
            Some(_) => &mut out[cipher::NONCE_LEN..],
            None => &mut *out,
        };
        let len = match self.compress(raw, effort, room) {
            Some((codec, len)) => {
                header.codec = codec;
                len
            }
            None => {
                room[..raw.len()].copy_from_slice(raw);
                raw.len()
            }
        };
        header.payload_len = len as u32;
        if let Some(cipher) = &self.cipher {
            header.flags = header.flags.with(Flags::ENCRYPTED);
            header.payload_len += OVERHEAD as u32;
            cipher.seal(header, &mut out[..len + OVERHEAD])?;
        }
        Ok(())
    }

    /// The codec that was used and the length that came of it, if it pays.
    fn compress(&mut self, raw: &[u8], effort: &mut Effort, out: &mut [u8]) -> Option<(Codec, usize)> {
        if self.codec == Codec::None {
            return None;
        }
        // What does not fit in here has not shrunk, and is then stored as it is.
        let out = &mut out[..raw.len() - 1];
        let mut level = effort.next(raw.len());
        if level == Level::Sample {
            let has_coarse = self.codec == Codec::Lz4;
            let mut len = |level| self.compress_at(level, raw, out).map_or(raw.len(), |(_, len)| len);
            let (full, words) = (len(Level::Full), len(Level::Words));
            let coarse = if has_coarse { len(Level::Coarse) } else { full };
            level = effort.learn(Sizes { raw: raw.len(), full, coarse, words });
        }
        self.compress_at(level, raw, out)
    }

    fn compress_at(&mut self, level: Level, raw: &[u8], out: &mut [u8]) -> Option<(Codec, usize)> {
        let lz4 = |acceleration, out| {
            lz4::block::compress_to_buffer(raw, Some(CompressionMode::FAST(acceleration)), false, out).ok()
        };
        let (codec, len) = match (level, self.codec) {
            (Level::Store, _) | (_, Codec::None) => return None,
            (Level::Words, _) | (_, Codec::StreamVByte) => {
                (Codec::StreamVByte, stream_vbyte::pack(raw, stream_vbyte::row_of(raw), out))
            }
            (Level::Coarse, Codec::Lz4) => (Codec::Lz4, lz4(effort::COARSE, out)),
            (_, Codec::Lz4) => (Codec::Lz4, lz4(1, out)),
            (_, Codec::Zstd) => (Codec::Zstd, self.zstd.as_mut()?.compress_to_buffer(raw, out).ok()),
        };
        Some((codec, len?))
    }
}

/// Reads payloads.
pub(crate) struct Unpacker {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    cipher: Option<Arc<Cipher>>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").field("decrypts", &self.cipher.is_some()).finish_non_exhaustive()
    }
}

impl Unpacker {
    pub(crate) fn new(cipher: Option<Arc<Cipher>>) -> Self {
        Self { zstd: None, cipher }
    }

    /// Puts what `payload` stands for into `out`, which has exactly the raw length; the payload's bytes are used up.
    pub(crate) fn unpack(&mut self, header: &Header, payload: &mut [u8], out: &mut [u8]) -> Result<()> {
        let packed = match (&self.cipher, header.flags.has(Flags::ENCRYPTED)) {
            (Some(cipher), true) => cipher.open(header, payload)?,
            (None, false) => &*payload,
            (Some(_), false) if header.payload_len == 0 => &*payload,
            (Some(_), false) => return Err(Error::new(ErrorKind::DataLost, "it should be encrypted and is not")),
            (None, true) => {
                return Err(Error::new(ErrorKind::Invalid, "it is encrypted: give the client the key that was used"));
            }
        };
        let len = match header.codec {
            Codec::None if packed.len() == out.len() => {
                out.copy_from_slice(packed);
                packed.len()
            }
            Codec::None => packed.len(),
            Codec::Lz4 => lz4::block::decompress_to_buffer(packed, Some(out.len() as i32), out)
                .map_err(|error| damaged(format!("LZ4 could not be read: {error}")))?,
            Codec::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(zstd::bulk::Decompressor::new().map_err(zstd_error)?),
                };
                zstd.decompress_to_buffer(packed, out)
                    .map_err(|error| damaged(format!("ZSTD could not be read: {error}")))?
            }
            Codec::StreamVByte => {
                stream_vbyte::unpack(packed, out)
                    .map_err(|wrong| damaged(format!("StreamVByte could not be read: {wrong}")))?;
                out.len()
            }
        };
        if len != out.len() {
            return Err(damaged(format!("{len} bytes came out, {} were written", out.len())));
        }
        Ok(())
    }
}

fn damaged(what: String) -> Error {
    Error::new(ErrorKind::DataLost, what)
}

fn zstd_error(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("ZSTD could not be set up: {error}"))
}

#[cfg(test)]
mod tests;
