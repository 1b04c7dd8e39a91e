use super::{Message, binary, check, text};
use crate::encode::bounded;
use crate::error::Result;
use crate::limits::{MESSAGE_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX};

impl Message {
    /// The message as one binary frame. Fails when it exceeds a limit that its reader would refuse it for.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        check::check_message(self)?;
        let bytes = binary::encode(self);
        bounded(MESSAGE, bytes.len(), binary::bytes_max(bytes[0]))?;
        Ok(bytes)
    }

    /// Reads one binary frame, all of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Message> {
        bounded(MESSAGE, bytes.len(), MESSAGE_BYTES_MAX)?;
        binary::decode(bytes)
    }

    /// The message as one text frame: a JSON object. Fails as [`Message::to_bytes`] does.
    pub fn to_text(&self) -> Result<String> {
        check::check_message(self)?;
        let text = text::encode(self);
        bounded(MESSAGE, text.len(), MESSAGE_TEXT_BYTES_MAX)?;
        Ok(text)
    }

    /// Reads one text frame, all of it.
    pub fn from_text(text: &str) -> Result<Message> {
        bounded(MESSAGE, text.len(), MESSAGE_TEXT_BYTES_MAX)?;
        text::decode(text)
    }
}

pub(super) const MESSAGE: &str = "bytes of a message";
