//! For programs that have SQLite linked in, such as every user of rusqlite with its bundled library.
//!
//! SQLite calls automatic extensions while it opens a connection, and hands them its own function table: the same table
//! that a loaded library gets. So no binding of a particular version is needed here.

use crate::abi::*;
use crate::connection::Connection;
use crate::error::{Error, Result, contain_panic};
use crate::load::{allocate_text, attach};
use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::time::Duration;

unsafe extern "C" {
    fn sqlite3_auto_extension(entry: Option<unsafe extern "C" fn()>) -> c_int;
}

/// Runs `open`, which opens one connection on this thread (`rusqlite::Connection::open`, say), and prepares the
/// connection by `init` before `open` returns. Gives both handles.
///
/// The handle of this crate must stay on this thread, and so must the connection while the handle is used.
pub fn open<C, E>(
    init: impl FnOnce(&Connection) -> Result<()>,
    open: impl FnOnce() -> std::result::Result<C, E>,
) -> std::result::Result<(C, Connection), OpenError<E>> {
    // SAFETY: the entry point has the signature that SQLite calls automatic extensions with. Registering it again does
    // nothing.
    let registered = unsafe {
        sqlite3_auto_extension(Some(std::mem::transmute::<
            unsafe extern "C" fn(*mut sqlite3, *mut *mut c_char, *const *const c_void) -> c_int,
            unsafe extern "C" fn(),
        >(entry)))
    };
    if registered != SQLITE_OK {
        return Err(OpenError::Rejoin(Error::new(registered, "SQLite did not take the automatic extension")));
    }
    let mut init = Some(init);
    let mut outcome: Option<Result<Connection>> = None;
    let mut prepare = |attached: Result<Option<Connection>>| {
        let result = attached.and_then(|connection| {
            let connection = connection.ok_or_else(|| Error::misuse("rejoin is attached to the connection already"))?;
            let init = init.take().ok_or_else(|| Error::misuse("one connection was expected"))?;
            init(&connection)?;
            Ok(connection)
        });
        let told = result.as_ref().map(|_| ()).map_err(Clone::clone);
        outcome = Some(result);
        told
    };
    let erased: *mut (dyn FnMut(Result<Option<Connection>>) -> Result<()> + '_) = &mut prepare;
    // SAFETY: only the lifetime is changed. The guard takes the pointer back before `prepare` ends, on every path.
    let erased: *mut Prepare = unsafe { std::mem::transmute(erased) };
    let opened = {
        let _taken_back = TakenBack(PREPARE.replace(Some(erased)));
        open()
    };
    match (opened, outcome) {
        (Ok(host), Some(Ok(connection))) => Ok((host, connection)),
        (_, Some(Err(error))) => Err(OpenError::Rejoin(error)),
        (Err(error), _) => Err(OpenError::Host(error)),
        (Ok(_), None) => Err(OpenError::Rejoin(Error::misuse("no connection was opened on this thread"))),
    }
}

/// How long a connection waits for another program while it is being opened. The host may set another time afterwards.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why [`open`] failed.
#[derive(Debug)]
pub enum OpenError<E> {
    /// The host's own opening failed.
    Host(E),
    /// Preparing the connection failed.
    Rejoin(Error),
}

impl<E: fmt::Display> fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Host(error) => error.fmt(f),
            OpenError::Rejoin(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for OpenError<E> {}

type Prepare = dyn FnMut(Result<Option<Connection>>) -> Result<()>;

thread_local! {
    /// Who waits on this thread for the next connection to be opened.
    static PREPARE: RefCell<Option<*mut Prepare>> = const { RefCell::new(None) };
}

struct TakenBack(Option<*mut Prepare>);

impl Drop for TakenBack {
    fn drop(&mut self) {
        PREPARE.set(self.0.take());
    }
}

unsafe extern "C" fn entry(db: *mut sqlite3, error_message: *mut *mut c_char, routines: *const *const c_void) -> c_int {
    let Some(prepare) = PREPARE.take() else { return SQLITE_OK };
    let result = contain_panic(|| {
        // SAFETY: SQLite passes an open connection and its own table.
        let attached = unsafe { attach(db, routines, Some(BUSY_TIMEOUT)) };
        // SAFETY: `open` put the pointer there and is waiting for this call; it was taken out, so nobody else calls it.
        unsafe { (*prepare)(attached) }
    });
    match result {
        Ok(()) => SQLITE_OK,
        Err(error) => {
            // SAFETY: the table is the one that SQLite passed, of a library that is linked in and therefore new enough or
            // refused above.
            if let Some(api) = unsafe { crate::api::Api::read(routines) } {
                // SAFETY: SQLite wants a message of its own allocator there.
                unsafe { *error_message = allocate_text(&api, &error.message) };
            }
            crate::error::code::ERROR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_init_fails_the_opening_with_its_own_words() {
        let result = open(|_| Err(Error::failed("a sentence")), rusqlite::Connection::open_in_memory);
        assert_eq!(result.err().map(|error| error.to_string()), Some("a sentence".into()));
        let plain = rusqlite::Connection::open_in_memory().expect("other connections are left alone");
        assert!(
            plain.query_row("SELECT 1 FROM pragma_module_list WHERE name = 'rejoin_guard'", [], |_| Ok(())).is_err()
        );
    }

    #[test]
    fn a_failing_open_is_the_hosts_error() {
        let result = open(|_| Ok(()), || rusqlite::Connection::open("/nonexistent/folder/a.db"));
        assert!(matches!(result, Err(OpenError::Host(_))));
    }
}
