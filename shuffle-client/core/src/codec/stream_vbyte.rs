//! StreamVByte (Lemire, Kurz, Rupp, 2018): 32-bit words without their leading zero bytes.
//!
//! Made for rows of numbers, which most shuffles move: an engine's fields have eight bytes each, and few need them. It
//! finds no repeated strings as LZ4 does, but takes a tenth of its time, and rows of numbers become smaller by it.
//!
//! A word is first xored with the one a row before it, so that what two rows have in common is zero too.
//!
//! # Format
//! | size | field |
//! |---|---|
//! | 2 | words from a row to the next, little-endian; 0 if rows differ in length: no word is xored |
//! | 1 for each 4 words, rounded up | how many bytes each word has: two bits, the lowest for the first; 0, 1, 2, 3 say 0, 1, 2, 4 bytes |
//! | the sum of these | the words' low bytes |
//! | 0 to 3 | what is left of the raw bytes, as they are |
//!
//! Xored are the words from the first group of four on that begins a row's length or more behind the start.

use std::array;

const HEAD: usize = 2;
const WORD: usize = 4;
/// Words that share a control byte.
const GROUP: usize = 4;
const GROUP_LEN: usize = GROUP * WORD;
/// The length in front of an item.
const LENGTH_LEN: usize = 4;

/// The bytes of a word with each two bits of control.
const LENGTHS: [usize; 4] = [0, 1, 2, 4];
/// Takes no byte: what a shuffle then puts there is zero.
const NOTHING: u8 = 0x80;

/// How a group with a control byte is put together.
struct Group {
    /// Bytes that are kept.
    len: u8,
    /// For each byte that is kept, where it was in the group.
    pack: [u8; GROUP_LEN],
    /// For each byte of the group, where it is among those that are kept.
    unpack: [u8; GROUP_LEN],
}

static GROUPS: [Group; 256] = groups();

const fn groups() -> [Group; 256] {
    const EMPTY: Group = Group { len: 0, pack: [NOTHING; GROUP_LEN], unpack: [NOTHING; GROUP_LEN] };
    let mut groups = [EMPTY; 256];
    let mut control = 0;
    while control < groups.len() {
        let group = &mut groups[control];
        let mut byte = 0;
        while byte < GROUP_LEN {
            let word = byte / WORD;
            if byte % WORD < LENGTHS[control >> (2 * word) & 3] {
                group.pack[group.len as usize] = byte as u8;
                group.unpack[byte] = group.len;
                group.len += 1;
            }
            byte += 1;
        }
        control += 1;
    }
    groups
}

/// From which byte on words are xored, and with those how many bytes before; beyond the end if none is.
#[derive(Debug, Clone, Copy)]
struct Rows {
    from: usize,
    stride: usize,
}

impl Rows {
    fn new(words: u16) -> Self {
        match usize::from(words) * WORD {
            // The word a row before could be in the same group.
            stride if stride < GROUP_LEN => Self { from: usize::MAX, stride: 0 },
            stride => Self { from: stride.next_multiple_of(GROUP_LEN), stride },
        }
    }

    /// The group before the one at `at` by a row; zeros if there is none.
    #[inline(always)]
    fn before(self, raw: &[u8], at: usize) -> [u8; GROUP_LEN] {
        if at < self.from { [0; GROUP_LEN] } else { *chunk(&raw[at - self.stride..]) }
    }
}

/// The words from one row to the next, where the first two rows of a block's items have the same length; otherwise 0.
pub(super) fn row_of(raw: &[u8]) -> u16 {
    let length = |at: usize| Some(u32::from_le_bytes(*raw.get(at..)?.first_chunk()?) as usize);
    let words = || {
        let row = length(0)?.checked_add(LENGTH_LEN)?;
        let same = length(row)? + LENGTH_LEN == row;
        (same && row.is_multiple_of(WORD)).then(|| u16::try_from(row / WORD).ok())?
    };
    words().unwrap_or(0)
}

/// Packs `raw`, whose rows are `row` words apart, into `out`; returns the length, None if there is no room for it.
pub(super) fn pack(raw: &[u8], row: u16, out: &mut [u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("ssse3") {
        // SAFETY: the processor has SSSE3.
        return unsafe { ssse3::pack(raw, row, out) };
    }
    pack_by(raw, row, out, pack_group)
}

/// Unpacks what [`pack`] made into `out`, which must have the raw length.
///
/// # Errors
/// What is wrong with `packed`.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("ssse3") {
        // SAFETY: the processor has SSSE3.
        return unsafe { ssse3::unpack(packed, out) };
    }
    unpack_by(packed, out, unpack_group)
}

/// [`pack`], with what packs one group: it returns the control byte and the packed words, and zeros behind them.
#[inline(always)]
fn pack_by(
    raw: &[u8],
    row: u16,
    out: &mut [u8],
    pack_group: impl Fn([u8; GROUP_LEN], [u8; GROUP_LEN]) -> (u8, [u8; GROUP_LEN]),
) -> Option<usize> {
    let groups = (raw.len() / WORD).div_ceil(GROUP);
    let (head, rest) = out.split_at_mut_checked(HEAD)?;
    head.copy_from_slice(&row.to_le_bytes());
    let (controls, data) = rest.split_at_mut_checked(groups)?;
    let rows = Rows::new(row);
    let mut len = 0;
    let (whole, rest) = raw.as_chunks::<GROUP_LEN>();
    for (number, (group, place)) in whole.iter().zip(controls.iter_mut()).enumerate() {
        let (control, packed) = pack_group(*group, rows.before(raw, number * GROUP_LEN));
        *place = control;
        let count = usize::from(GROUPS[usize::from(control)].len);
        match data.get_mut(len..).and_then(|rest| rest.first_chunk_mut()) {
            Some(room) => *room = packed,
            None => data.get_mut(len..len + count)?.copy_from_slice(&packed[..count]),
        }
        len += count;
    }
    // A group of fewer words, whose missing ones take no bytes, and what is no whole word.
    let (words, tail) = rest.split_at(rest.len() / WORD * WORD);
    if let Some(place) = controls.get_mut(whole.len()) {
        let (control, packed) = pack_group(padded(words), [0; GROUP_LEN]);
        *place = control;
        let count = usize::from(GROUPS[usize::from(control)].len);
        data.get_mut(len..len + count)?.copy_from_slice(&packed[..count]);
        len += count;
    }
    data.get_mut(len..len + tail.len())?.copy_from_slice(tail);
    Some(HEAD + groups + len + tail.len())
}

/// [`unpack`], with what unpacks one group of a control byte.
#[inline(always)]
fn unpack_by(
    packed: &[u8],
    out: &mut [u8],
    unpack_group: impl Fn(u8, [u8; GROUP_LEN], [u8; GROUP_LEN]) -> [u8; GROUP_LEN],
) -> Result<(), &'static str> {
    const SHORT: &str = "it is cut off";
    let groups = (out.len() / WORD).div_ceil(GROUP);
    let (head, rest) = packed.split_first_chunk::<HEAD>().ok_or(SHORT)?;
    let (controls, mut data) = rest.split_at_checked(groups).ok_or(SHORT)?;
    let rows = Rows::new(u16::from_le_bytes(*head));
    let mut at = 0;
    for control in controls {
        let count = usize::from(GROUPS[usize::from(*control)].len);
        let rest = data.get(count..).ok_or(SHORT)?;
        let group = data.first_chunk().copied().unwrap_or_else(|| padded(&data[..count]));
        if at + GROUP_LEN <= out.len() {
            let raw = unpack_group(*control, group, rows.before(out, at));
            out[at..at + GROUP_LEN].copy_from_slice(&raw);
            at += GROUP_LEN;
        } else {
            let raw = unpack_group(*control, group, [0; GROUP_LEN]);
            let words = (out.len() - at) / WORD * WORD;
            if raw[words..].iter().any(|byte| *byte != 0) {
                return Err("it has more words than there were");
            }
            out[at..at + words].copy_from_slice(&raw[..words]);
            at += words;
        }
        data = rest;
    }
    if data.len() != out.len() - at {
        return Err("its bytes are not as many as it says");
    }
    out[at..].copy_from_slice(data);
    Ok(())
}

fn pack_group(group: [u8; GROUP_LEN], before: [u8; GROUP_LEN]) -> (u8, [u8; GROUP_LEN]) {
    let (mut control, mut packed, mut len) = (0, [0; GROUP_LEN], 0);
    for number in 0..GROUP {
        let word = word(&group, number) ^ word(&before, number);
        let code =
            (0..LENGTHS.len()).find(|code| u64::from(word) >> (8 * LENGTHS[*code]) == 0).expect("4 bytes hold all");
        control |= (code as u8) << (2 * number);
        packed[len..len + LENGTHS[code]].copy_from_slice(&word.to_le_bytes()[..LENGTHS[code]]);
        len += LENGTHS[code];
    }
    (control, packed)
}

fn unpack_group(control: u8, packed: [u8; GROUP_LEN], before: [u8; GROUP_LEN]) -> [u8; GROUP_LEN] {
    let unpack = &GROUPS[usize::from(control)].unpack;
    array::from_fn(|byte| packed.get(usize::from(unpack[byte])).copied().unwrap_or(0) ^ before[byte])
}

fn word(group: &[u8; GROUP_LEN], number: usize) -> u32 {
    u32::from_le_bytes(*chunk(&group[number * WORD..]))
}

/// Fewer bytes than a group has, with zeros behind them.
fn padded(bytes: &[u8]) -> [u8; GROUP_LEN] {
    let mut group = [0; GROUP_LEN];
    group[..bytes.len()].copy_from_slice(bytes);
    group
}

/// The first bytes, of which there must be enough.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8]) -> &[u8; N] {
    bytes.first_chunk().expect("the caller has looked")
}

#[cfg(target_arch = "x86_64")]
mod ssse3 {
    use std::arch::x86_64::*;

    use super::{GROUP_LEN, GROUPS, pack_by, unpack_by};

    #[target_feature(enable = "ssse3")]
    pub(super) fn pack(raw: &[u8], row: u16, out: &mut [u8]) -> Option<usize> {
        pack_by(raw, row, out, |group, before| pack_group(group, before))
    }

    #[target_feature(enable = "ssse3")]
    pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
        unpack_by(packed, out, |control, group, before| unpack_group(control, group, before))
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    fn pack_group(group: [u8; GROUP_LEN], before: [u8; GROUP_LEN]) -> (u8, [u8; GROUP_LEN]) {
        let words = _mm_xor_si128(load(&group), load(&before));
        let zero = _mm_setzero_si128();
        // Each of these is -1 in a word that needs no byte, at most one, at most two.
        let none = _mm_cmpeq_epi32(words, zero);
        let one = _mm_cmpeq_epi32(_mm_srli_epi32::<8>(words), zero);
        let two = _mm_cmpeq_epi32(_mm_srli_epi32::<16>(words), zero);
        let codes = _mm_add_epi32(_mm_set1_epi32(3), _mm_add_epi32(none, _mm_add_epi32(one, two)));
        // The codes as four bytes; the product has them side by side in its highest byte.
        let codes = _mm_packus_epi16(_mm_packs_epi32(codes, zero), zero);
        let codes = _mm_cvtsi128_si32(codes) as u32;
        let control = (codes.wrapping_mul(1 << 24 | 1 << 18 | 1 << 12 | 1 << 6) >> 24) as u8;
        (control, store(_mm_shuffle_epi8(words, load(&GROUPS[usize::from(control)].pack))))
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    fn unpack_group(control: u8, packed: [u8; GROUP_LEN], before: [u8; GROUP_LEN]) -> [u8; GROUP_LEN] {
        let words = _mm_shuffle_epi8(load(&packed), load(&GROUPS[usize::from(control)].unpack));
        store(_mm_xor_si128(words, load(&before)))
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    fn load(bytes: &[u8; GROUP_LEN]) -> __m128i {
        // SAFETY: as many bytes are there, and no alignment is needed.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    fn store(words: __m128i) -> [u8; GROUP_LEN] {
        let mut bytes = [0; GROUP_LEN];
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), words) };
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of numbers of any size, of one length or several, cut anywhere.
    fn rows() -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![Just(0u64), 0..200u64, 0..70_000u64, any::<u32>().prop_map(u64::from), any::<u64>()];
        let row = |fields| proptest::collection::vec(number.clone(), fields);
        let rows =
            prop_oneof![proptest::collection::vec(row(3..4), 0..30), proptest::collection::vec(row(0..5), 0..30)];
        (rows, 0..9usize).prop_map(|(rows, cut)| {
            let mut raw = vec![];
            for row in rows {
                raw.extend_from_slice(&(row.len() as u32 * 8).to_le_bytes());
                row.iter().for_each(|number| raw.extend_from_slice(&number.to_le_bytes()));
            }
            raw.truncate(raw.len().saturating_sub(cut));
            raw
        })
    }

    proptest! {
        #[test]
        fn rows_come_back_and_every_processor_packs_them_alike(raw in rows(), other in 0..20u16) {
            for row in [row_of(&raw), 0, other] {
                let mut packed = vec![1; raw.len() * 2 + 100];
                let len = pack(&raw, row, &mut packed).expect("there is room");
                let mut same = vec![2; packed.len()];
                prop_assert_eq!(pack_by(&raw, row, &mut same, pack_group), Some(len));
                prop_assert_eq!(&packed[..len], &same[..len]);

                let mut back = vec![3; raw.len()];
                prop_assert_eq!(unpack(&packed[..len], &mut back), Ok(()));
                prop_assert_eq!(&back, &raw);
                back.fill(4);
                prop_assert_eq!(unpack_by(&packed[..len], &mut back, unpack_group), Ok(()));
                prop_assert_eq!(&back, &raw);

                for room in [len, len - 1, len / 2] {
                    let packed = pack(&raw, row, &mut packed[..room]);
                    prop_assert_eq!(packed, (room == len).then_some(len));
                }
            }
        }

        #[test]
        fn what_was_cut_off_or_is_too_long_is_refused(raw in rows(), more in 1..40usize) {
            let mut packed = vec![0; raw.len() * 2 + 100];
            let len = pack(&raw, row_of(&raw), &mut packed).expect("there is room");
            let mut back = vec![0; raw.len()];
            prop_assert!(unpack(&packed[..len.saturating_sub(more)], &mut back).is_err());
            prop_assert!(unpack(&packed[..len + more], &mut back).is_err());
        }

        #[test]
        fn garbage_is_refused_or_unpacked_alike(packed in proptest::collection::vec(any::<u8>(), 0..300), len in 0..400usize) {
            let (mut out, mut same) = (vec![0; len], vec![0; len]);
            let by_vectors = unpack(&packed, &mut out);
            prop_assert_eq!(by_vectors, unpack_by(&packed, &mut same, unpack_group));
            if by_vectors.is_ok() {
                prop_assert_eq!(out, same);
            }
        }
    }

    #[test]
    fn numbers_lose_their_leading_zeros_and_what_the_row_before_had() {
        let raw: Vec<u8> = (0..100u64)
            .flat_map(|id| {
                [24u64.to_le_bytes()[..4].to_vec(), id.to_le_bytes().to_vec(), [7; 8].to_vec(), [0; 8].to_vec()]
                    .concat()
            })
            .collect();
        assert_eq!(row_of(&raw), 7);
        let mut packed = vec![0; raw.len()];
        // Two bits for each word, and a byte for what changes in a row; the first row is whole.
        let len = pack(&raw, row_of(&raw), &mut packed).expect("it shrinks");
        assert!(len < 100 * 7 / 4 + 100 + 30, "{len} bytes");
    }

    #[test]
    fn rows_of_several_lengths_or_without_whole_words_have_no_stride() {
        let rows = |lens: &[u32]| -> Vec<u8> {
            lens.iter().flat_map(|len| [&len.to_le_bytes()[..], &vec![1; *len as usize][..]].concat()).collect()
        };
        assert_eq!(row_of(&rows(&[16, 16, 8])), 5);
        for other in [&[16, 8, 16][..], &[16], &[], &[3, 3]] {
            assert_eq!(row_of(&rows(other)), 0, "{other:?}");
        }
    }
}
