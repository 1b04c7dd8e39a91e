//! Who may enter which room.

use crate::error::NodeError;
use crate::rooms::is_room_name;
use std::collections::HashMap;

/// The secrets that open rooms. Without any, every room is open to whoever reaches the server.
#[derive(Clone, Default)]
pub struct Access {
    everywhere: Vec<blake3::Hash>,
    rooms: HashMap<String, Vec<blake3::Hash>>,
}

impl Access {
    /// Takes `SECRET`, which opens every room, or `ROOM=SECRET`, which opens one.
    pub fn from_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Result<Access, NodeError> {
        let mut access = Access::default();
        for token in tokens {
            // A secret may end in `=`, as base64 does.
            let room = token.split_once('=').filter(|(room, secret)| is_room_name(room) && !is_padding(secret));
            let (list, secret) = match room {
                Some((room, secret)) => (access.rooms.entry(room.to_owned()).or_default(), secret),
                None => (&mut access.everywhere, token),
            };
            if secret.is_empty() || secret.len() > rejoin_wire::limits::TOKEN_BYTES_MAX {
                return Err(NodeError::Misuse(format!(
                    "a token has 1 to {} bytes; give SECRET or ROOM=SECRET",
                    rejoin_wire::limits::TOKEN_BYTES_MAX
                )));
            }
            list.push(blake3::hash(secret.as_bytes()));
        }
        Ok(access)
    }

    /// True where no token is asked for.
    pub fn is_open(&self) -> bool {
        self.everywhere.is_empty() && self.rooms.is_empty()
    }

    /// Whether a token opens a room. Takes as long for a wrong token as for a right one: hashes are compared, in constant
    /// time, and all of them.
    pub(crate) fn allows(&self, room: &str, token: Option<&str>) -> bool {
        if self.is_open() {
            return true;
        }
        let given = blake3::hash(token.unwrap_or_default().as_bytes());
        let of_room = self.rooms.get(room).into_iter().flatten();
        let matches = self.everywhere.iter().chain(of_room).filter(|known| **known == given).count();
        token.is_some() && matches > 0
    }
}

fn is_padding(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'=')
}

/// Does not show the secrets, not even hashed.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = self.everywhere.len() + self.rooms.values().map(Vec::len).sum::<usize>();
        f.debug_struct("Access").field("tokens", &tokens).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_every_room_or_the_one_it_names() {
        let access = Access::from_tokens(["everything", "todo=only-todo"]).unwrap();
        for (room, token, allowed) in [
            ("todo", Some("everything"), true),
            ("other", Some("everything"), true),
            ("todo", Some("only-todo"), true),
            ("other", Some("only-todo"), false),
            ("todo", Some("todo=only-todo"), false),
            ("todo", Some(""), false),
            ("todo", None, false),
        ] {
            assert_eq!(access.allows(room, token), allowed, "{room} {token:?}");
        }
    }

    #[test]
    fn a_secret_may_end_like_base64() {
        let access = Access::from_tokens(["c2VjcmV0cw=="]).unwrap();
        assert!(access.allows("todo", Some("c2VjcmV0cw==")));
    }

    #[test]
    fn empty_secrets_are_refused_and_no_tokens_mean_open() {
        assert!(Access::from_tokens([""]).is_err());
        assert!(Access::from_tokens([]).unwrap().allows("todo", None));
    }
}
