use rejoin_bridge::{self as bridge, Connection};
use rejoin_change::ChangeStore;
use std::cell::OnceCell;
use std::rc::Rc;

/// An engine that takes changes row by row, as [`crate::register`] is given it.
pub type Store = Rc<dyn ChangeStore<Error = bridge::Error>>;

/// Lets the streams of a connection merge through an engine.
pub(crate) fn use_store(connection: &Connection, store: Store) {
    connection.state(Handed::default).0.get_or_init(|| store);
}

/// The store that was handed over, if there is one.
pub(crate) fn store(connection: &Connection) -> Option<Store> {
    connection.state(Handed::default).0.get().cloned()
}

#[derive(Default)]
struct Handed(OnceCell<Store>);
