//! SQLite's callbacks, in terms of the traits. Every body runs under the panic guard, and every error is left in
//! `zErrMsg`, where SQLite looks for it.

use super::{Columns, IndexInfo, Module, ModuleKind, Table, TableArgs, TableCursor, Update};
use crate::abi::*;
use crate::api::Api;
use crate::connection::Connection;
use crate::error::{Error, Result, code, contain_panic};
use crate::load::allocate_text;
use crate::value::{ValueRef, read_value, return_output};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;

impl Connection {
    /// Registers a virtual table module.
    pub fn create_module<M: Module>(&self, name: &str, module: M) -> Result<()> {
        let inner = self.inner();
        inner.check_open()?;
        let c_name = CString::new(name).map_err(|_| Error::misuse("a module's name has no NUL"))?;
        let data = Box::new(Registered { connection: self.clone(), module });
        // SAFETY: the connection is open; the callbacks and the destructor fit the data, and the callback table is
        // static. SQLite calls the destructor exactly once, also when the registration fails.
        let result = unsafe {
            (inner.api.create_module_v2)(
                inner.db,
                c_name.as_ptr(),
                &Callbacks::<M>::MODULE,
                Box::into_raw(data).cast(),
                Some(destroy_module::<M>),
            )
        };
        if result == SQLITE_OK { Ok(()) } else { Err(inner.last_error(result)) }
    }
}

struct Registered<M> {
    connection: Connection,
    module: M,
}

/// A table as SQLite holds it: its own part first.
#[repr(C)]
struct Vtab<T> {
    base: sqlite3_vtab,
    connection: Connection,
    table: T,
}

/// A cursor as SQLite holds it: its own part first.
#[repr(C)]
struct VtabCursor<C> {
    base: sqlite3_vtab_cursor,
    cursor: C,
}

struct Callbacks<M>(PhantomData<M>);

impl<M: Module> Callbacks<M> {
    const CONNECT: Constructor = Some(connect::<M, false>);

    const MODULE: sqlite3_module = sqlite3_module {
        version: 3,
        create: match M::KIND {
            ModuleKind::Eponymous => None,
            ModuleKind::EponymousOrCreated => Self::CONNECT,
            ModuleKind::Created => Some(connect::<M, true>),
        },
        connect: Self::CONNECT,
        best_index: Some(best_index::<M::Table>),
        disconnect: Some(disconnect::<M::Table>),
        destroy: Some(destroy_table::<M::Table>),
        open: Some(open::<M::Table>),
        close: Some(close::<M::Table>),
        filter: Some(filter::<M::Table>),
        next: Some(next::<M::Table>),
        eof: Some(eof::<M::Table>),
        column: Some(column::<M::Table>),
        rowid: Some(rowid::<M::Table>),
        update: if M::WRITABLE { Some(update::<M::Table>) } else { None },
        begin: Some(begin::<M::Table>),
        sync: Some(sync::<M::Table>),
        commit: Some(commit::<M::Table>),
        rollback: Some(rollback::<M::Table>),
        find_function: None,
        rename: Some(rename::<M::Table>),
        savepoint: Some(savepoint::<M::Table>),
        release: Some(release::<M::Table>),
        rollback_to: Some(rollback_to::<M::Table>),
        shadow_name: if M::SHADOW_SUFFIXES.is_empty() { None } else { Some(shadow_name::<M>) },
    };
}

unsafe extern "C" fn destroy_module<M: Module>(data: *mut c_void) {
    let _ = contain_panic(|| {
        // SAFETY: the pointer came from Box::into_raw at registration, and SQLite calls this once.
        drop(unsafe { Box::from_raw(data.cast::<Registered<M>>()) });
        Ok(())
    });
}

/// # Safety
/// `text` is a NUL-terminated string that lives as long as the callback.
unsafe fn word<'a>(text: *const c_char) -> Result<&'a str> {
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| Error::misuse("names and arguments must be UTF-8"))
}

unsafe extern "C" fn connect<M: Module, const CREATING: bool>(
    db: *mut sqlite3,
    data: *mut c_void,
    argument_count: c_int,
    arguments: *const *const c_char,
    table_out: *mut *mut sqlite3_vtab,
    error_out: *mut *mut c_char,
) -> c_int {
    // SAFETY: the data was registered with this callback and lives until the module is destroyed.
    let registered = unsafe { &*data.cast::<Registered<M>>() };
    let inner = registered.connection.inner();
    let result = contain_panic(|| {
        let count = usize::try_from(argument_count).unwrap_or(0);
        // SAFETY: SQLite passes that many NUL-terminated strings.
        let words = unsafe { (0..count).map(|index| word(*arguments.add(index))).collect::<Result<Vec<&str>>>()? };
        let [module, schema, table, arguments @ ..] = words.as_slice() else {
            return Err(Error::misuse("SQLite gave no names to a virtual table"));
        };
        let args = TableArgs { module, schema, table, arguments: arguments.to_vec() };
        let (declaration, table) = registered.module.connect(&registered.connection, &args, CREATING)?;
        let declaration = CString::new(declaration).map_err(|_| Error::misuse("a table's declaration has no NUL"))?;
        // SAFETY: this is the connect callback, where SQLite wants these calls; the connection is open.
        unsafe {
            let declared = (inner.api.declare_vtab)(db, declaration.as_ptr());
            if declared != SQLITE_OK {
                return Err(inner.last_error(declared));
            }
            if M::DIRECT_ONLY {
                (inner.api.vtab_config)(db, SQLITE_VTAB_DIRECTONLY);
            } else if M::INNOCUOUS {
                (inner.api.vtab_config)(db, SQLITE_VTAB_INNOCUOUS);
            }
        }
        let base = sqlite3_vtab { module: std::ptr::null(), references: 0, error_message: std::ptr::null_mut() };
        Ok(Box::new(Vtab { base, connection: registered.connection.clone(), table }))
    });
    match result {
        Ok(table) => {
            // SAFETY: SQLite wants the table there.
            unsafe { *table_out = Box::into_raw(table).cast() };
            SQLITE_OK
        }
        Err(error) => {
            // SAFETY: SQLite wants a message of its own allocator there.
            unsafe { *error_out = allocate_text(&inner.api, &error.message) };
            failure_code(&error)
        }
    }
}

fn failure_code(error: &Error) -> c_int {
    if error.code == SQLITE_OK { code::ERROR } else { error.code }
}

/// # Safety
/// `raw` is a table that `connect` made for this `T`.
unsafe fn vtab<'a, T>(raw: *mut sqlite3_vtab) -> &'a Vtab<T> {
    // SAFETY: by the contract above.
    unsafe { &*raw.cast::<Vtab<T>>() }
}

/// Runs a callback's body and leaves its error where SQLite looks for it.
///
/// # Safety
/// `raw` is a table that `connect` made for this `T`.
unsafe fn on_table<T>(raw: *mut sqlite3_vtab, body: impl FnOnce(&Vtab<T>) -> Result<()>) -> c_int {
    // SAFETY: by the contract above.
    let vtab = unsafe { vtab::<T>(raw) };
    match contain_panic(|| body(vtab)) {
        Ok(()) => SQLITE_OK,
        Err(error) => {
            let api = &vtab.connection.inner().api;
            // SAFETY: an older message came from SQLite's allocator, and so does the new one.
            unsafe {
                (api.free)((*raw).error_message.cast());
                (*raw).error_message = allocate_text(api, &error.message);
            }
            failure_code(&error)
        }
    }
}

/// Runs a cursor callback's body and leaves its error where SQLite looks for it.
///
/// # Safety
/// `raw` is a cursor that `open` made for this `T`, and nothing else uses it during the call.
unsafe fn on_cursor<T: Table>(
    raw: *mut sqlite3_vtab_cursor,
    body: impl FnOnce(&Api, &mut T::Cursor) -> Result<()>,
) -> c_int {
    // SAFETY: by the contract above; SQLite keeps the cursor's table valid.
    unsafe {
        let cursor = raw.cast::<VtabCursor<T::Cursor>>();
        on_table::<T>((*raw).vtab, |vtab| body(&vtab.connection.inner().api, &mut (*cursor).cursor))
    }
}

unsafe extern "C" fn best_index<T: Table>(raw: *mut sqlite3_vtab, info: *mut sqlite3_index_info) -> c_int {
    // SAFETY: SQLite passes its table and its plan, both valid during the call.
    unsafe {
        on_table::<T>(raw, |vtab| {
            let mut info = IndexInfo::new(info, vtab.connection.inner().api);
            vtab.table.best_index(&mut info)
        })
    }
}

unsafe extern "C" fn disconnect<T: Table>(raw: *mut sqlite3_vtab) -> c_int {
    let _ = contain_panic(|| {
        // SAFETY: `connect` made the table, and SQLite does not use it after this.
        drop(unsafe { Box::from_raw(raw.cast::<Vtab<T>>()) });
        Ok(())
    });
    SQLITE_OK
}

unsafe extern "C" fn destroy_table<T: Table>(raw: *mut sqlite3_vtab) -> c_int {
    // SAFETY: SQLite passes its table. It keeps the table when this fails.
    match unsafe { on_table::<T>(raw, |vtab| vtab.table.destroy()) } {
        // SAFETY: as in `disconnect`.
        SQLITE_OK => unsafe { disconnect::<T>(raw) },
        failed => failed,
    }
}

unsafe extern "C" fn open<T: Table>(raw: *mut sqlite3_vtab, cursor_out: *mut *mut sqlite3_vtab_cursor) -> c_int {
    // SAFETY: SQLite passes its table, and wants the cursor there; it fills in the cursor's table itself.
    unsafe {
        on_table::<T>(raw, |vtab| {
            let cursor = vtab.table.open()?;
            let base = sqlite3_vtab_cursor { vtab: std::ptr::null_mut() };
            *cursor_out = Box::into_raw(Box::new(VtabCursor { base, cursor })).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn close<T: Table>(raw: *mut sqlite3_vtab_cursor) -> c_int {
    let _ = contain_panic(|| {
        // SAFETY: `open` made the cursor, and SQLite does not use it after this.
        drop(unsafe { Box::from_raw(raw.cast::<VtabCursor<T::Cursor>>()) });
        Ok(())
    });
    SQLITE_OK
}

unsafe extern "C" fn filter<T: Table>(
    raw: *mut sqlite3_vtab_cursor,
    index_number: c_int,
    index_string: *const c_char,
    argument_count: c_int,
    arguments: *mut *mut sqlite3_value,
) -> c_int {
    // SAFETY: SQLite passes its cursor, a NUL-terminated string or null, and that many values.
    unsafe {
        on_cursor::<T>(raw, |api, cursor| {
            let index_string = if index_string.is_null() { "" } else { word(index_string)? };
            let count = usize::try_from(argument_count).unwrap_or(0);
            let values: Vec<ValueRef<'_>> = (0..count).map(|index| read_value(api, *arguments.add(index))).collect();
            cursor.filter(index_number, index_string, &values)
        })
    }
}

unsafe extern "C" fn next<T: Table>(raw: *mut sqlite3_vtab_cursor) -> c_int {
    // SAFETY: SQLite passes its cursor.
    unsafe { on_cursor::<T>(raw, |_, cursor| cursor.next()) }
}

unsafe extern "C" fn eof<T: Table>(raw: *mut sqlite3_vtab_cursor) -> c_int {
    // SAFETY: SQLite passes its cursor.
    let cursor = unsafe { &(*raw.cast::<VtabCursor<T::Cursor>>()).cursor };
    contain_panic(|| Ok(c_int::from(cursor.eof()))).unwrap_or(1)
}

unsafe extern "C" fn column<T: Table>(
    raw: *mut sqlite3_vtab_cursor,
    context: *mut sqlite3_context,
    index: c_int,
) -> c_int {
    // SAFETY: SQLite passes its cursor and a context for this value.
    unsafe {
        on_cursor::<T>(raw, |api, cursor| {
            let output = cursor.column(index)?;
            return_output(api, context, &output);
            Ok(())
        })
    }
}

unsafe extern "C" fn rowid<T: Table>(raw: *mut sqlite3_vtab_cursor, rowid_out: *mut i64) -> c_int {
    // SAFETY: SQLite passes its cursor, and wants the rowid there.
    unsafe {
        on_cursor::<T>(raw, |_, cursor| {
            *rowid_out = cursor.rowid()?;
            Ok(())
        })
    }
}

unsafe extern "C" fn update<T: Table>(
    raw: *mut sqlite3_vtab,
    argument_count: c_int,
    arguments: *mut *mut sqlite3_value,
    rowid_out: *mut i64,
) -> c_int {
    // SAFETY: SQLite passes its table and that many values, at least one, and wants the rowid of an insert there.
    unsafe {
        on_table::<T>(raw, |vtab| {
            let inner = vtab.connection.inner();
            let count = usize::try_from(argument_count).unwrap_or(0);
            let values = std::slice::from_raw_parts(arguments.cast_const(), count);
            let read = |index: usize| read_value(&inner.api, values[index]);
            let on_conflict = (inner.api.vtab_on_conflict)(inner.db);
            let change = match count {
                0 => return Err(Error::misuse("SQLite gave no values to a write")),
                1 => Update::Delete { rowid: read(0).as_i64() },
                _ => {
                    let columns = Columns { api: &inner.api, values: &values[2..] };
                    if read(0).is_null() {
                        let rowid = (!read(1).is_null()).then(|| read(1).as_i64());
                        Update::Insert { rowid, columns, on_conflict }
                    } else {
                        let (old_rowid, new_rowid) = (read(0).as_i64(), read(1).as_i64());
                        Update::Update { old_rowid, new_rowid, columns, on_conflict }
                    }
                }
            };
            let rowid = vtab.table.update(&change)?;
            if matches!(change, Update::Insert { .. }) {
                *rowid_out = rowid;
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn begin<T: Table>(raw: *mut sqlite3_vtab) -> c_int {
    // SAFETY: SQLite passes its table.
    unsafe { on_table::<T>(raw, |vtab| vtab.table.begin()) }
}

unsafe extern "C" fn sync<T: Table>(raw: *mut sqlite3_vtab) -> c_int {
    // SAFETY: SQLite passes its table.
    unsafe { on_table::<T>(raw, |vtab| vtab.table.sync()) }
}

unsafe extern "C" fn commit<T: Table>(raw: *mut sqlite3_vtab) -> c_int {
    // SAFETY: SQLite passes its table.
    unsafe {
        on_table::<T>(raw, |vtab| {
            vtab.table.commit();
            Ok(())
        })
    }
}

unsafe extern "C" fn rollback<T: Table>(raw: *mut sqlite3_vtab) -> c_int {
    // SAFETY: SQLite passes its table.
    unsafe {
        on_table::<T>(raw, |vtab| {
            vtab.table.rollback();
            Ok(())
        })
    }
}

unsafe extern "C" fn rename<T: Table>(raw: *mut sqlite3_vtab, new_name: *const c_char) -> c_int {
    // SAFETY: SQLite passes its table and a NUL-terminated name.
    unsafe { on_table::<T>(raw, |vtab| vtab.table.rename(word(new_name)?)) }
}

unsafe extern "C" fn savepoint<T: Table>(raw: *mut sqlite3_vtab, depth: c_int) -> c_int {
    // SAFETY: SQLite passes its table.
    unsafe {
        on_table::<T>(raw, |vtab| {
            vtab.table.savepoint(depth);
            Ok(())
        })
    }
}

unsafe extern "C" fn release<T: Table>(raw: *mut sqlite3_vtab, depth: c_int) -> c_int {
    // SAFETY: SQLite passes its table.
    unsafe { on_table::<T>(raw, |vtab| vtab.table.release(depth)) }
}

unsafe extern "C" fn rollback_to<T: Table>(raw: *mut sqlite3_vtab, depth: c_int) -> c_int {
    // SAFETY: SQLite passes its table.
    unsafe {
        on_table::<T>(raw, |vtab| {
            vtab.table.rollback_to(depth);
            Ok(())
        })
    }
}

unsafe extern "C" fn shadow_name<M: Module>(suffix: *const c_char) -> c_int {
    // SAFETY: SQLite passes a NUL-terminated name.
    let suffix = unsafe { CStr::from_ptr(suffix) }.to_bytes();
    c_int::from(M::SHADOW_SUFFIXES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(suffix)))
}
