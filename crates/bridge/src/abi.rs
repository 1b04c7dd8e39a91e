//! The C types and constants that this crate shares with SQLite. Layouts are those of `sqlite3.h` since 3.10, and only
//! fields that every accepted version has are read.

use std::ffi::{c_char, c_int, c_void};

#[repr(C)]
pub(crate) struct sqlite3 {
    _opaque: [u8; 0],
}

#[repr(C)]
pub(crate) struct sqlite3_stmt {
    _opaque: [u8; 0],
}

#[repr(C)]
pub(crate) struct sqlite3_blob {
    _opaque: [u8; 0],
}

#[repr(C)]
pub(crate) struct sqlite3_value {
    _opaque: [u8; 0],
}

#[repr(C)]
pub(crate) struct sqlite3_context {
    _opaque: [u8; 0],
}

#[repr(C)]
pub(crate) struct sqlite3_vtab {
    pub module: *const sqlite3_module,
    pub references: c_int,
    pub error_message: *mut c_char,
}

#[repr(C)]
pub(crate) struct sqlite3_vtab_cursor {
    pub vtab: *mut sqlite3_vtab,
}

#[repr(C)]
pub(crate) struct IndexConstraint {
    pub column: c_int,
    pub op: u8,
    pub usable: u8,
    pub term_offset: c_int,
}

#[repr(C)]
pub(crate) struct IndexOrderBy {
    pub column: c_int,
    pub desc: u8,
}

#[repr(C)]
pub(crate) struct IndexConstraintUsage {
    pub argv_index: c_int,
    pub omit: u8,
}

#[repr(C)]
pub(crate) struct sqlite3_index_info {
    pub constraint_count: c_int,
    pub constraints: *mut IndexConstraint,
    pub order_by_count: c_int,
    pub order_by: *mut IndexOrderBy,
    pub usage: *mut IndexConstraintUsage,
    pub index_number: c_int,
    pub index_string: *mut c_char,
    pub need_to_free_index_string: c_int,
    pub order_by_consumed: c_int,
    pub estimated_cost: f64,
    pub estimated_rows: i64,
    pub flags: c_int,
    pub columns_used: u64,
}

pub(crate) type Destructor = Option<unsafe extern "C" fn(*mut c_void)>;
pub(crate) type ScalarFunction = Option<unsafe extern "C" fn(*mut sqlite3_context, c_int, *mut *mut sqlite3_value)>;
pub(crate) type FinalFunction = Option<unsafe extern "C" fn(*mut sqlite3_context)>;
pub(crate) type Constructor = Option<
    unsafe extern "C" fn(
        *mut sqlite3,
        *mut c_void,
        c_int,
        *const *const c_char,
        *mut *mut sqlite3_vtab,
        *mut *mut c_char,
    ) -> c_int,
>;
pub(crate) type VtabCall = Option<unsafe extern "C" fn(*mut sqlite3_vtab) -> c_int>;
pub(crate) type VtabSavepointCall = Option<unsafe extern "C" fn(*mut sqlite3_vtab, c_int) -> c_int>;
pub(crate) type CursorCall = Option<unsafe extern "C" fn(*mut sqlite3_vtab_cursor) -> c_int>;

/// `sqlite3_module` up to iVersion 3. Newer SQLite libraries read further fields only where iVersion says so.
#[repr(C)]
pub(crate) struct sqlite3_module {
    pub version: c_int,
    pub create: Constructor,
    pub connect: Constructor,
    pub best_index: Option<unsafe extern "C" fn(*mut sqlite3_vtab, *mut sqlite3_index_info) -> c_int>,
    pub disconnect: VtabCall,
    pub destroy: VtabCall,
    pub open: Option<unsafe extern "C" fn(*mut sqlite3_vtab, *mut *mut sqlite3_vtab_cursor) -> c_int>,
    pub close: CursorCall,
    pub filter: Option<
        unsafe extern "C" fn(*mut sqlite3_vtab_cursor, c_int, *const c_char, c_int, *mut *mut sqlite3_value) -> c_int,
    >,
    pub next: CursorCall,
    pub eof: CursorCall,
    pub column: Option<unsafe extern "C" fn(*mut sqlite3_vtab_cursor, *mut sqlite3_context, c_int) -> c_int>,
    pub rowid: Option<unsafe extern "C" fn(*mut sqlite3_vtab_cursor, *mut i64) -> c_int>,
    pub update: Option<unsafe extern "C" fn(*mut sqlite3_vtab, c_int, *mut *mut sqlite3_value, *mut i64) -> c_int>,
    pub begin: VtabCall,
    pub sync: VtabCall,
    pub commit: VtabCall,
    pub rollback: VtabCall,
    pub find_function: Option<unsafe extern "C" fn()>,
    pub rename: Option<unsafe extern "C" fn(*mut sqlite3_vtab, *const c_char) -> c_int>,
    pub savepoint: VtabSavepointCall,
    pub release: VtabSavepointCall,
    pub rollback_to: VtabSavepointCall,
    pub shadow_name: Option<unsafe extern "C" fn(*const c_char) -> c_int>,
}

pub(crate) const SQLITE_OK: c_int = 0;
pub(crate) const SQLITE_ROW: c_int = 100;
pub(crate) const SQLITE_INTERRUPT: c_int = 9;
pub(crate) const SQLITE_DONE: c_int = 101;

pub(crate) const SQLITE_INTEGER: c_int = 1;
pub(crate) const SQLITE_FLOAT: c_int = 2;
pub(crate) const SQLITE_TEXT: c_int = 3;
pub(crate) const SQLITE_BLOB: c_int = 4;

pub(crate) const SQLITE_UTF8: u8 = 1;
pub(crate) const SQLITE_PREPARE_PERSISTENT: u32 = 1;
pub(crate) const SQLITE_DBCONFIG_ENABLE_TRIGGER: c_int = 1003;
pub(crate) const SQLITE_TXN_WRITE: c_int = 2;

pub(crate) const SQLITE_OPEN_READWRITE: c_int = 2;
pub(crate) const SQLITE_OPEN_CREATE: c_int = 4;
pub(crate) const SQLITE_OPEN_MEMORY: c_int = 0x80;
pub(crate) const SQLITE_LIMIT_ATTACHED: c_int = 7;

pub(crate) const SQLITE_VTAB_INNOCUOUS: c_int = 2;
pub(crate) const SQLITE_VTAB_DIRECTONLY: c_int = 3;

/// Tells SQLite to copy the bytes before the call returns.
pub(crate) fn transient() -> Destructor {
    // SAFETY: SQLITE_TRANSIENT is defined as the pointer value -1; SQLite compares it and never calls it.
    unsafe { std::mem::transmute::<isize, Destructor>(-1) }
}
