//! The table of SQLite's functions that a host hands to its extensions, by position.

use crate::abi::*;
use std::ffi::{c_char, c_int, c_uint, c_void};

macro_rules! api {
    ($($position:literal $name:ident ($($argument:ty),*) $(-> $returned:ty)?;)*) => {
        /// SQLite's functions. Copied from the host's `sqlite3_api_routines`; each field stands at the position that
        /// `sqlite3ext.h` gives it for good.
        #[derive(Clone, Copy)]
        pub(crate) struct Api {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $returned)?,)*
            pub db_config: unsafe extern "C" fn(*mut sqlite3, c_int, ...) -> c_int,
            pub log: unsafe extern "C" fn(c_int, *const c_char, ...),
            pub vtab_config: unsafe extern "C" fn(*mut sqlite3, c_int, ...) -> c_int,
        }

        impl Api {
            /// Reads the table; `None` when the host left out something that is needed.
            ///
            /// # Safety
            /// `routines` is the pointer that SQLite gave to the entry point, and its version was found to be at least
            /// [`crate::SQLITE_VERSION_MIN`], which has all of these fields.
            pub(crate) unsafe fn read(routines: *const *const c_void) -> Option<Api> {
                // SAFETY: the caller vouches that the table is at least as long as the largest position here. A non-null
                // entry is a function of the type that sqlite3ext.h states for its position.
                unsafe {
                    Some(Api {
                        $($name: std::mem::transmute::<
                            *const c_void,
                            unsafe extern "C" fn($($argument),*) $(-> $returned)?,
                        >(entry(routines, $position)?),)*
                        db_config: std::mem::transmute::<
                            *const c_void,
                            unsafe extern "C" fn(*mut sqlite3, c_int, ...) -> c_int,
                        >(entry(routines, POSITION_DB_CONFIG)?),
                        log: std::mem::transmute::<
                            *const c_void,
                            unsafe extern "C" fn(c_int, *const c_char, ...),
                        >(entry(routines, POSITION_LOG)?),
                        vtab_config: std::mem::transmute::<
                            *const c_void,
                            unsafe extern "C" fn(*mut sqlite3, c_int, ...) -> c_int,
                        >(entry(routines, POSITION_VTAB_CONFIG)?),
                    })
                }
            }

            #[cfg(test)]
            pub(crate) fn addresses(&self) -> Vec<(&'static str, usize)> {
                vec![
                    $((stringify!($name), self.$name as usize),)*
                    ("db_config", self.db_config as usize),
                    ("log", self.log as usize),
                    ("vtab_config", self.vtab_config as usize),
                ]
            }
        }
    };
}

/// # Safety
/// `routines` has more than `position` entries.
unsafe fn entry(routines: *const *const c_void, position: usize) -> Option<*const c_void> {
    // SAFETY: by the contract above.
    let function = unsafe { *routines.add(position) };
    if function.is_null() { None } else { Some(function) }
}

pub(crate) const POSITION_LIBVERSION_NUMBER: usize = 67;
const POSITION_DB_CONFIG: usize = 163;
const POSITION_LOG: usize = 167;
const POSITION_VTAB_CONFIG: usize = 177;

api! {
    3 bind_double(*mut sqlite3_stmt, c_int, f64) -> c_int;
    5 bind_int64(*mut sqlite3_stmt, c_int, i64) -> c_int;
    6 bind_null(*mut sqlite3_stmt, c_int) -> c_int;
    7 bind_parameter_count(*mut sqlite3_stmt) -> c_int;
    16 close(*mut sqlite3) -> c_int;
    19 column_blob(*mut sqlite3_stmt, c_int) -> *const c_void;
    20 column_bytes(*mut sqlite3_stmt, c_int) -> c_int;
    22 column_count(*mut sqlite3_stmt) -> c_int;
    27 column_double(*mut sqlite3_stmt, c_int) -> f64;
    29 column_int64(*mut sqlite3_stmt, c_int) -> i64;
    30 column_name(*mut sqlite3_stmt, c_int) -> *const c_char;
    36 column_text(*mut sqlite3_stmt, c_int) -> *const u8;
    38 column_type(*mut sqlite3_stmt, c_int) -> c_int;
    50 declare_vtab(*mut sqlite3, *const c_char) -> c_int;
    53 errmsg(*mut sqlite3) -> *const c_char;
    57 finalize(*mut sqlite3_stmt) -> c_int;
    58 free(*mut c_void);
    60 get_autocommit(*mut sqlite3) -> c_int;
    65 last_insert_rowid(*mut sqlite3) -> i64;
    67 libversion_number() -> c_int;
    77 reset(*mut sqlite3_stmt) -> c_int;
    79 result_double(*mut sqlite3_context, f64);
    80 result_error(*mut sqlite3_context, *const c_char, c_int);
    83 result_int64(*mut sqlite3_context, i64);
    84 result_null(*mut sqlite3_context);
    94 step(*mut sqlite3_stmt) -> c_int;
    95 table_column_metadata(
        *mut sqlite3,
        *const c_char,
        *const c_char,
        *const c_char,
        *mut *const c_char,
        *mut *const c_char,
        *mut c_int,
        *mut c_int,
        *mut c_int
    ) -> c_int;
    101 user_data(*mut sqlite3_context) -> *mut c_void;
    102 value_blob(*mut sqlite3_value) -> *const c_void;
    103 value_bytes(*mut sqlite3_value) -> c_int;
    105 value_double(*mut sqlite3_value) -> f64;
    107 value_int64(*mut sqlite3_value) -> i64;
    109 value_text(*mut sqlite3_value) -> *const u8;
    113 value_type(*mut sqlite3_value) -> c_int;
    118 clear_bindings(*mut sqlite3_stmt) -> c_int;
    119 create_module_v2(*mut sqlite3, *const c_char, *const sqlite3_module, *mut c_void, Destructor) -> c_int;
    121 blob_bytes(*mut sqlite3_blob) -> c_int;
    122 blob_close(*mut sqlite3_blob) -> c_int;
    123 blob_open(
        *mut sqlite3,
        *const c_char,
        *const c_char,
        *const c_char,
        i64,
        c_int,
        *mut *mut sqlite3_blob
    ) -> c_int;
    124 blob_read(*mut sqlite3_blob, *mut c_void, c_int, c_int) -> c_int;
    135 open_v2(*const c_char, *mut *mut sqlite3, c_int, *const c_char) -> c_int;
    146 result_error_code(*mut sqlite3_context, c_int);
    148 randomness(c_int, *mut c_void);
    151 limit(*mut sqlite3, c_int, c_int) -> c_int;
    152 next_stmt(*mut sqlite3, *mut sqlite3_stmt) -> *mut sqlite3_stmt;
    162 create_function_v2(
        *mut sqlite3,
        *const c_char,
        c_int,
        c_int,
        *mut c_void,
        ScalarFunction,
        ScalarFunction,
        FinalFunction,
        Destructor
    ) -> c_int;
    166 extended_errcode(*mut sqlite3) -> c_int;
    178 vtab_on_conflict(*mut sqlite3) -> c_int;
    181 db_readonly(*mut sqlite3, *const c_char) -> c_int;
    184 stmt_busy(*mut sqlite3_stmt) -> c_int;
    185 stmt_readonly(*mut sqlite3_stmt) -> c_int;
    193 bind_blob64(*mut sqlite3_stmt, c_int, *const c_void, u64, Destructor) -> c_int;
    194 bind_text64(*mut sqlite3_stmt, c_int, *const c_char, u64, Destructor, u8) -> c_int;
    197 malloc64(u64) -> *mut c_void;
    201 result_blob64(*mut sqlite3_context, *const c_void, u64, Destructor);
    202 result_text64(*mut sqlite3_context, *const c_char, u64, Destructor, u8);
    216 set_last_insert_rowid(*mut sqlite3, i64);
    217 prepare_v3(
        *mut sqlite3,
        *const c_char,
        c_int,
        c_uint,
        *mut *mut sqlite3_stmt,
        *mut *const c_char
    ) -> c_int;
    223 value_nochange(*mut sqlite3_value) -> c_int;
    252 txn_state(*mut sqlite3, *const c_char) -> c_int;
    253 changes64(*mut sqlite3) -> i64;
    254 total_changes64(*mut sqlite3) -> i64;
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    /// The linked library's own addresses are the truth about what stands at each position.
    #[test]
    fn every_position_holds_the_function_of_its_name() {
        macro_rules! expected {
            ($($name:ident)*) => {
                [$((stringify!($name), ffi::$name as *const () as usize),)*]
            };
        }
        let expected = expected! {
            sqlite3_bind_double sqlite3_bind_int64 sqlite3_bind_null sqlite3_bind_parameter_count sqlite3_close sqlite3_column_blob
            sqlite3_column_bytes sqlite3_column_count sqlite3_column_double sqlite3_column_int64 sqlite3_column_name
            sqlite3_column_text sqlite3_column_type sqlite3_declare_vtab sqlite3_errmsg sqlite3_finalize sqlite3_free
            sqlite3_get_autocommit sqlite3_last_insert_rowid sqlite3_libversion_number sqlite3_reset
            sqlite3_result_double sqlite3_result_error sqlite3_result_int64 sqlite3_result_null sqlite3_step
            sqlite3_table_column_metadata sqlite3_user_data sqlite3_value_blob sqlite3_value_bytes sqlite3_value_double sqlite3_value_int64
            sqlite3_value_text sqlite3_value_type sqlite3_clear_bindings sqlite3_create_module_v2
            sqlite3_blob_bytes sqlite3_blob_close sqlite3_blob_open sqlite3_blob_read
            sqlite3_open_v2 sqlite3_result_error_code sqlite3_randomness sqlite3_limit sqlite3_next_stmt sqlite3_create_function_v2
            sqlite3_extended_errcode sqlite3_vtab_on_conflict sqlite3_db_readonly sqlite3_stmt_busy sqlite3_stmt_readonly
            sqlite3_bind_blob64 sqlite3_bind_text64 sqlite3_malloc64 sqlite3_result_blob64 sqlite3_result_text64
            sqlite3_set_last_insert_rowid sqlite3_prepare_v3 sqlite3_value_nochange sqlite3_txn_state
            sqlite3_changes64 sqlite3_total_changes64 sqlite3_db_config sqlite3_log sqlite3_vtab_config
        };
        let (_host, connection) =
            crate::linked::open(|_| Ok(()), rusqlite::Connection::open_in_memory).expect("a database in memory opens");
        let found = connection.inner().api.addresses();
        assert_eq!(found.len(), expected.len());
        for ((name, address), (expected_name, expected_address)) in found.iter().zip(&expected) {
            assert_eq!(format!("sqlite3_{name}"), *expected_name);
            assert_eq!(address, expected_address, "{name} stands at another position");
        }
    }
}
