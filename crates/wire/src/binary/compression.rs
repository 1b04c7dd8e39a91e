use crate::error::{Result, WireError};
use std::cell::RefCell;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::find_frame_compressed_size;

/// Compresses a body, or gives `None` when that would not make it smaller.
pub(super) fn compress(body: &[u8]) -> Option<Vec<u8>> {
    // A context costs more to make than a small body costs to compress, so each thread keeps one.
    thread_local!(static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) });
    if body.len() < COMPRESSIBLE_BYTES_MIN {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(LEVEL).ok();
        }
        let compressed = slot.as_mut()?.compress(body).ok()?;
        (compressed.len() < body.len()).then_some(compressed)
    })
}

/// Undoes [`compress`]. The body must come to exactly `body_bytes`, which the caller has bounded, and `stored` must be
/// one frame and nothing else.
pub(super) fn decompress(stored: &[u8], body_bytes: usize) -> Result<Vec<u8>> {
    thread_local!(static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) });
    let malformed = |what| WireError::Malformed { what, offset: 0 };
    if find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Err(malformed("the compressed body is not one zstd frame"));
    }
    let body = DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        slot.as_mut()?.decompress(stored, body_bytes).ok()
    });
    match body {
        Some(body) if body.len() == body_bytes => Ok(body),
        _ => Err(malformed("the compressed body does not have the length that the header says")),
    }
}

const LEVEL: i32 = 1;

/// Below this a zstd frame's own header eats what it saves.
const COMPRESSIBLE_BYTES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_and_nothing_else_is_taken() {
        let body = vec![7u8; 100_000];
        let stored = compress(&body).unwrap();
        assert!(stored.len() < 100);
        assert_eq!(decompress(&stored, body.len()), Ok(body.clone()));
        assert!(decompress(&stored, body.len() - 1).is_err());
        assert!(decompress(&stored, body.len() + 1).is_err());
        let twice = [stored.clone(), stored.clone()].concat();
        assert!(decompress(&twice, 2 * body.len()).is_err());
        // A skippable frame, which a zstd decoder passes over without a word.
        let hidden = [&stored[..], &[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]].concat();
        assert!(decompress(&hidden, body.len()).is_err());
        assert!(decompress(b"", 0).is_err());
        assert!(decompress(b"not zstd", 10).is_err());
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        assert_eq!(compress(b"short"), None);
        let noise: Vec<u8> = (0..200u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert_eq!(compress(&noise), None);
    }
}
