//! The loadable library: entry points and nothing else.
//!
//! SQLite derives the entry point from the file's name: `librejoin.so` is asked for `sqlite3_rejoin_init`. A copy that
//! is named `crsqlite.so` is asked for `sqlite3_crsqlite_init`, so that a program made for the original takes it without
//! being changed. A host that knows no name of the library falls back to `sqlite3_extension_init`.

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
    unsafe { load(db, error_message, routines) }
}

/// What SQLite calls when the library lies where the original cr-sqlite lay, under its name.
///
/// # Safety
/// As [`sqlite3_rejoin_init`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_crsqlite_init(
    db: *mut c_void,
    error_message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    // SAFETY: the arguments are passed on as SQLite gave them.
    unsafe { load(db, error_message, routines) }
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
    unsafe { load(db, error_message, routines) }
}

/// Not exported, and so never mistaken for another library's function of one name: SQLite loads libraries with their
/// symbols visible to all.
///
/// # Safety
/// As [`sqlite3_rejoin_init`].
unsafe fn load(db: *mut c_void, error_message: *mut *mut c_char, routines: *const c_void) -> c_int {
    // SAFETY: the arguments are passed on as SQLite gave them.
    unsafe {
        rejoin_bridge::load(db, error_message, routines, |connection| {
            rejoin_engine::register(connection)?;
            rejoin_streams::register(connection, rejoin_engine::change_store(connection))
        })
    }
}
