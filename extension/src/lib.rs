//! The loadable library: entry points and nothing else.
//!
//! SQLite derives the entry point from the file's name: `librejoin.so` is asked for `sqlite3_rejoin_init`. A host that
//! knows neither name falls back to `sqlite3_extension_init`.

use std::ffi::{c_char, c_int, c_void};

/// What SQLite calls when it loads `librejoin`.
///
/// # Safety
/// SQLite passes an open connection, a place for an error message, and its table of functions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_rejoin_init(
    db: *mut c_void,
    error_message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    // SAFETY: the arguments are passed on as SQLite gave them.
    unsafe {
        rejoin_bridge::load(db, error_message, routines, |connection| {
            rejoin_engine::register(connection)?;
            rejoin_streams::register(connection, rejoin_engine::change_store(connection))
        })
    }
}

/// What SQLite calls when the library has another name.
///
/// # Safety
/// As [`sqlite3_rejoin_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_extension_init(
    db: *mut c_void,
    error_message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    // SAFETY: the arguments are passed on as SQLite gave them.
    unsafe { sqlite3_rejoin_init(db, error_message, routines) }
}
