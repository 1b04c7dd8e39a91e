use std::fmt;

/// What a client says in the header `Sec-WebSocket-Protocol`: the room, and the secret that opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Subprotocol {
    /// Name of the room.
    pub room: String,
    /// The secret.
    pub token: Option<String>,
}

/// Why a header is not one of this protocol, or cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubprotocolError {
    /// It is not base64.
    NotBase64,
    /// It names no room.
    NoRoom,
    /// A room or a token holds a character that separates the two, or one that is not Latin-1.
    Unsayable,
}

impl Subprotocol {
    /// Reads the one subprotocol that a client offers, as the original server does: parts between commas, each a key
    /// and a value around an equals sign; of a key that comes twice the last counts, and unknown keys mean nothing. What
    /// follows a second equals sign is dropped from a room's name, as it always was, and kept in a token.
    pub fn read(header: &str) -> Result<Subprotocol, SubprotocolError> {
        let bytes = base64_simd::forgiving_decode_to_vec(header.as_bytes()).map_err(|_| SubprotocolError::NotBase64)?;
        // Latin-1: each byte is the character of that number.
        let text: String = bytes.into_iter().map(char::from).collect();
        let (mut room, mut token) = (None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("room", name)) => room = name.split('=').next(),
                Some(("auth", secret)) => token = Some(secret.to_owned()),
                _ => {}
            }
        }
        let room = room.filter(|room| !room.is_empty()).ok_or(SubprotocolError::NoRoom)?.to_owned();
        Ok(Subprotocol { room, token })
    }

    /// Writes it as a client does, without padding.
    pub fn write(&self) -> Result<String, SubprotocolError> {
        let mut text = String::new();
        if let Some(token) = &self.token {
            text = format!("auth={token},");
        }
        text.push_str("room=");
        text.push_str(&self.room);
        let separates = |part: &str| part.contains([',', '=']);
        if separates(&self.room) || self.token.as_deref().is_some_and(separates) {
            return Err(SubprotocolError::Unsayable);
        }
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        let bytes = bytes.map_err(|_| SubprotocolError::Unsayable)?;
        Ok(base64_simd::STANDARD_NO_PAD.encode_to_string(bytes))
    }
}

/// Does not show the token.
impl fmt::Debug for Subprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subprotocol").field("room", &self.room).field("has_token", &self.token.is_some()).finish()
    }
}

impl fmt::Display for SubprotocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubprotocolError::NotBase64 => "the subprotocol is not base64",
            SubprotocolError::NoRoom => "the subprotocol names no room",
            SubprotocolError::Unsayable => {
                "a room and a token can hold neither a comma nor an equals sign nor a character outside of Latin-1"
            }
        })
    }
}

impl std::error::Error for SubprotocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Option<String>), SubprotocolError> {
        let header = base64_simd::STANDARD_NO_PAD.encode_to_string(text.as_bytes());
        Subprotocol::read(&header).map(|read| (read.room, read.token))
    }

    #[test]
    fn a_header_is_read_as_the_original_server_reads_it() {
        let some = |room: &str, token: Option<&str>| Ok((room.to_owned(), token.map(str::to_owned)));
        assert_eq!(read("room=abc"), some("abc", None));
        assert_eq!(read("auth=tok,room=r"), some("r", Some("tok")));
        assert_eq!(read("room=r,auth=tok,other=x"), some("r", Some("tok")));
        assert_eq!(read("room=a,room=b"), some("b", None));
        assert_eq!(read("room=a=b"), some("a", None));
        assert_eq!(read("room=c,d"), some("c", None));
        assert_eq!(read("auth=c2VjcmV0==,room=r"), some("r", Some("c2VjcmV0==")));
        for text in ["", "room", "room=", "auth=tok", "x=y"] {
            assert_eq!(read(text), Err(SubprotocolError::NoRoom), "{text}");
        }
    }

    #[test]
    fn headers_have_the_form_that_browsers_send() {
        let room =
            |room: &str, token: Option<&str>| Subprotocol { room: room.to_owned(), token: token.map(str::to_owned) };
        assert_eq!(room("abc", None).write().unwrap(), "cm9vbT1hYmM");
        assert_eq!(room("r", Some("tok")).write().unwrap(), "YXV0aD10b2sscm9vbT1y");
        assert_eq!(room("a,b", None).write(), Err(SubprotocolError::Unsayable));
        assert_eq!(room("a", Some("b=")).write(), Err(SubprotocolError::Unsayable));
        assert_eq!(room("日", None).write(), Err(SubprotocolError::Unsayable));
    }

    #[test]
    fn padding_is_optional_and_nonsense_is_refused() {
        assert_eq!(Subprotocol::read("cm9vbT1hYmM=").unwrap().room, "abc");
        assert_eq!(Subprotocol::read("cm9vbT1hYmM").unwrap().room, "abc");
        for header in ["not base64!", "*", "cm9vbT1hYmM==="] {
            assert_eq!(Subprotocol::read(header), Err(SubprotocolError::NotBase64), "{header}");
        }
    }
}
