use crate::error::{Result, WireError};
use rejoin_change::SiteId;

/// Bytes that are read from front to back. Whatever is taken lies inside the input.
#[derive(Clone)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes, at: 0 }
    }

    pub fn malformed(&self, what: &'static str) -> WireError {
        WireError::Malformed { what, offset: self.at }
    }

    /// How many bytes have been read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What has been read since a place.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Fails unless everything has been read.
    pub fn finish(&self) -> Result<()> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.malformed("bytes follow where everything has been said")) }
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        if length > self.remaining() {
            return Err(self.malformed("it ends too early"));
        }
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("take gives the length asked for"))
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn site_id(&mut self) -> Result<SiteId> {
        Ok(SiteId(self.array()?))
    }
}

/// What counts or measures something, within its limit.
pub(crate) fn bounded(what: &'static str, found: u64, max: usize) -> Result<usize> {
    if found > max as u64 {
        return Err(WireError::TooLarge { what, found, max: max as u64 });
    }
    Ok(found as usize)
}
