use std::fmt;

/// Identity of one database: 16 bytes, made at random when the database is first used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub [u8; 16]);

impl SiteId {
    /// Takes exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<SiteId, SiteIdError> {
        bytes.try_into().map(SiteId).map_err(|_| SiteIdError)
    }

    /// Takes exactly 32 hexadecimal digits, in either case.
    pub fn from_hex(text: &str) -> Result<SiteId, SiteIdError> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(SiteIdError);
        }
        let mut bytes = [0u8; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = (pair[0] as char).to_digit(16).ok_or(SiteIdError)?;
            let low = (pair[1] as char).to_digit(16).ok_or(SiteIdError)?;
            *byte = (high * 16 + low) as u8;
        }
        Ok(SiteId(bytes))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Prints 32 lower-case hexadecimal digits.
impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteId({self})")
    }
}

/// A site id that is not 16 bytes or 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteIdError;

impl fmt::Display for SiteIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a site id is 16 bytes, written as x'…' or as 32 hexadecimal digits")
    }
}

impl std::error::Error for SiteIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_bytes_round_trip() {
        let site = SiteId([0xab; 16]);
        assert_eq!(SiteId::from_hex(&site.to_string()), Ok(site));
        assert_eq!(SiteId::from_hex(&site.to_string().to_uppercase()), Ok(site));
        assert_eq!(SiteId::from_slice(site.as_bytes()), Ok(site));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(SiteId::from_slice(&[0; 15]).is_err());
        assert!(SiteId::from_hex("").is_err());
        assert!(SiteId::from_hex(&"g".repeat(32)).is_err());
        assert!(SiteId::from_hex(&"é".repeat(16)).is_err());
    }
}
