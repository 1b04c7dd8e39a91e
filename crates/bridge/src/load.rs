use crate::abi::*;
use crate::api::{Api, POSITION_LIBVERSION_NUMBER};
use crate::connection::Connection;
use crate::error::{Error, Result, code, contain_panic};
use crate::{atomic, function, guard, transaction};
use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

/// The oldest SQLite that is accepted: 3.37.0, the first with STRICT tables.
pub const SQLITE_VERSION_MIN: i32 = 3_037_000;

/// The body of an extension's entry point: attaches to the connection and runs `init` on it. Returns SQLite's result
/// code. Where rejoin is attached to the connection already, it does nothing.
///
/// # Safety
/// The arguments are those that SQLite gave to the entry point.
pub unsafe fn load(
    db: *mut c_void,
    error_message: *mut *mut c_char,
    routines: *const c_void,
    init: impl FnOnce(&Connection) -> Result<()>,
) -> c_int {
    let attached = contain_panic(|| {
        // SAFETY: by the contract above.
        match unsafe { attach(db.cast(), routines.cast(), None) }? {
            Some(connection) => init(&connection),
            None => Ok(()),
        }
    });
    match attached {
        Ok(()) => SQLITE_OK,
        Err(error) => {
            // SAFETY: by the contract above; a table that could not be read is not used.
            unsafe { report(error_message, routines.cast(), &error) };
            if error.code == SQLITE_OK { code::ERROR } else { error.code }
        }
    }
}

/// Makes a handle for a connection; `None` where there is one already. `busy_timeout` is for a connection that is still
/// being opened, whose host cannot have said how long to wait for another program.
///
/// # Safety
/// `db` is an open connection and `routines` its library's table.
pub(crate) unsafe fn attach(
    db: *mut sqlite3,
    routines: *const *const c_void,
    busy_timeout: Option<Duration>,
) -> Result<Option<Connection>> {
    // SAFETY: the version call stands at the same position in every table since 3.0.
    let version = unsafe {
        let call: unsafe extern "C" fn() -> c_int = std::mem::transmute(*routines.add(POSITION_LIBVERSION_NUMBER));
        call()
    };
    if version < SQLITE_VERSION_MIN {
        return Err(Error::failed(format!(
            "rejoin needs SQLite 3.37 or newer, this program has {}.{}.{}",
            version / 1_000_000,
            version / 1000 % 1000,
            version % 1000
        )));
    }
    // SAFETY: the version was just found to be new enough.
    let api = unsafe { Api::read(routines) }
        .ok_or_else(|| Error::failed("this SQLite was built without functions that rejoin needs"))?;
    let slot = function::slot_of(api.user_data)?;
    // SAFETY: by the contract above; the guard is installed next.
    let connection = unsafe { Connection::new(api, slot, db) };
    // Before anything that reads the file: even looking for a module reads its schema.
    if let Some(timeout) = busy_timeout {
        connection.execute(&format!("PRAGMA busy_timeout = {}", timeout.as_millis()))?;
    }
    if connection.has_module(guard::MODULE_NAME)? {
        return Ok(None);
    }
    guard::install(&connection)?;
    transaction::install(&connection)?;
    atomic::install(&connection)?;
    Ok(Some(connection))
}

/// # Safety
/// `target` is null or where SQLite wants a message of its own allocator; `routines` is its library's table.
unsafe fn report(target: *mut *mut c_char, routines: *const *const c_void, error: &Error) {
    if target.is_null() {
        return;
    }
    // SAFETY: sqlite3_malloc64 (3.8.7) is at its position in every library that can load this one at all; a table that
    // has a gap there gives None.
    if let Some(api) = unsafe { Api::read(routines) } {
        // SAFETY: by the contract above.
        unsafe { *target = allocate_text(&api, &error.message) };
    }
}

/// A NUL-terminated copy in SQLite's own memory; null when there is none left.
pub(crate) fn allocate_text(api: &Api, text: &str) -> *mut c_char {
    let text = text.replace('\0', "\u{fffd}");
    // SAFETY: the block is one byte longer than the text, and is written before anybody reads it.
    unsafe {
        let block: *mut u8 = (api.malloc64)(text.len() as u64 + 1).cast();
        if !block.is_null() {
            std::ptr::copy_nonoverlapping(text.as_ptr(), block, text.len());
            *block.add(text.len()) = 0;
        }
        block.cast()
    }
}
