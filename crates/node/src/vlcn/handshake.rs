//! How a dial says which protocol it speaks: vlcn clients offer one WebSocket subprotocol, which holds the room and the
//! token; native clients offer none.

use axum::http::{HeaderMap, header};
use rejoin_wire::vlcn::Subprotocol;

/// A dial by the vlcn protocol.
#[derive(Debug)]
pub(crate) struct Dialled {
    /// What was offered, to be echoed as it is.
    pub(crate) offered: String,
    pub(crate) room: String,
    pub(crate) token: Option<String>,
}

/// What a request's headers say. `None` for a dial by the native protocol; the error is a sentence.
pub(crate) fn dialled(headers: &HeaderMap) -> Result<Option<Dialled>, String> {
    let mut offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let Some(offered) = offers.next() else { return Ok(None) };
    let offered = offered.to_str().map_err(|_| says("it is not ASCII"))?.trim();
    if offers.next().is_some() || offered.contains(',') {
        return Err(says("there is more than one"));
    }
    if offered.is_empty() || offered.len() > SUBPROTOCOL_BYTES_MAX {
        return Err(says(&format!("it has {} bytes, where 1 to {SUBPROTOCOL_BYTES_MAX} are allowed", offered.len())));
    }
    let Subprotocol { room, token } = Subprotocol::read(offered).map_err(|error| says(&error.to_string()))?;
    Ok(Some(Dialled { offered: offered.to_owned(), room, token }))
}

fn says(what: &str) -> String {
    format!(
        "the header Sec-WebSocket-Protocol cannot be understood: {what}; it holds the base64 of auth=TOKEN,room=ROOM, or is \
         left out for the native protocol\n"
    )
}

/// Base64 of the longest token and a room.
const SUBPROTOCOL_BYTES_MAX: usize = (rejoin_wire::limits::TOKEN_BYTES_MAX + 256).div_ceil(3) * 4;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(offers: &[&'static str]) -> Result<Option<(String, Option<String>)>, String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offer));
        }
        dialled(&headers).map(|dialled| dialled.map(|dialled| (dialled.room, dialled.token)))
    }

    #[test]
    fn one_subprotocol_is_vlcn_and_none_is_native() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["cm9vbT1hYmM"]), Ok(Some(("abc".to_owned(), None))));
        assert_eq!(read(&["YXV0aD10b2sscm9vbT1y"]), Ok(Some(("r".to_owned(), Some("tok".to_owned())))));
    }

    #[test]
    fn what_is_neither_is_refused_in_words() {
        for offers in [&["*"][..], &[""], &["cm9vbT1hYmM, cm9vbT1hYmM"], &["cm9vbT1hYmM", "cm9vbT1hYmM"], &["chat"]] {
            assert!(read(offers).unwrap_err().contains("Sec-WebSocket-Protocol"), "{offers:?}");
        }
    }
}
