use crate::abi::*;
use crate::connection::Connection;
use crate::error::{Error, Result, contain_panic};
use crate::value::{Output, ValueRef, read_value, return_error, return_output};
use std::ffi::{CString, c_int, c_void};
use std::ops::BitOr;
use std::sync::{Mutex, OnceLock};

/// What SQLite may assume of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionFlags(c_int);

impl FunctionFlags {
    /// Nothing.
    pub const NONE: FunctionFlags = FunctionFlags(0);
    /// The same arguments give the same result within one statement.
    pub const DETERMINISTIC: FunctionFlags = FunctionFlags(0x800);
    /// May be called from triggers and views, also of an untrusted schema.
    pub const INNOCUOUS: FunctionFlags = FunctionFlags(0x20_0000);
    /// May be called from the application's own SQL only, not from triggers or views.
    pub const DIRECTONLY: FunctionFlags = FunctionFlags(0x8_0000);
}

impl FunctionFlags {
    /// Both, where a constant is needed; elsewhere `|`.
    pub const fn and(self, other: FunctionFlags) -> FunctionFlags {
        FunctionFlags(self.0 | other.0)
    }
}

impl BitOr for FunctionFlags {
    type Output = FunctionFlags;
    fn bitor(self, other: FunctionFlags) -> FunctionFlags {
        FunctionFlags(self.0 | other.0)
    }
}

/// One call of a function: its arguments.
pub struct Call<'a> {
    connection: &'a Connection,
    arguments: &'a [*mut sqlite3_value],
}

impl Call<'_> {
    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// True for a call without arguments.
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// An argument, counted from 0; NULL where there is none.
    pub fn arg(&self, index: usize) -> ValueRef<'_> {
        match self.arguments.get(index) {
            // SAFETY: SQLite passed the value to the call that `self` cannot outlive.
            Some(value) => unsafe { read_value(&self.connection.inner().api, *value) },
            None => ValueRef::Null,
        }
    }

    /// The connection that the function was registered on.
    pub fn connection(&self) -> &Connection {
        self.connection
    }
}

type Body = dyn Fn(&Call<'_>) -> Result<Output<'static>>;

struct Registered {
    connection: Connection,
    name: String,
    body: Box<Body>,
}

impl Connection {
    /// Registers a scalar function. `argument_count` -1 takes any number.
    pub fn create_function(
        &self,
        name: &str,
        argument_count: i32,
        flags: FunctionFlags,
        body: impl Fn(&Call<'_>) -> Result<Output<'static>> + 'static,
    ) -> Result<()> {
        let inner = self.inner();
        inner.check_open()?;
        let c_name = CString::new(name).map_err(|_| Error::misuse("a function's name has no NUL"))?;
        let data = Box::new(Registered { connection: self.clone(), name: name.into(), body: Box::new(body) });
        // SAFETY: the connection is open, and the callback and destructor fit the data. SQLite calls the destructor
        // exactly once, also when the registration fails.
        let result = unsafe {
            (inner.api.create_function_v2)(
                inner.db,
                c_name.as_ptr(),
                argument_count,
                c_int::from(SQLITE_UTF8) | flags.0,
                Box::into_raw(data).cast(),
                Some(CALLBACKS[inner.slot]),
                None,
                None,
                Some(destroy),
            )
        };
        if result == SQLITE_OK { Ok(()) } else { Err(inner.last_error(result)) }
    }
}

type UserData = unsafe extern "C" fn(*mut sqlite3_context) -> *mut c_void;
type Callback = unsafe extern "C" fn(*mut sqlite3_context, c_int, *mut *mut sqlite3_value);

/// A scalar function learns its data only by asking SQLite, so it must know beforehand which SQLite library calls it.
/// Each distinct library in the process gets a slot with a callback of its own.
static SLOTS: [OnceLock<UserData>; 8] = [const { OnceLock::new() }; 8];

const CALLBACKS: [Callback; 8] =
    [call::<0>, call::<1>, call::<2>, call::<3>, call::<4>, call::<5>, call::<6>, call::<7>];

/// The slot of the library whose `sqlite3_user_data` this is.
pub(crate) fn slot_of(user_data: UserData) -> Result<usize> {
    static ALLOCATING: Mutex<()> = Mutex::new(());
    let _lock = ALLOCATING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (index, slot) in SLOTS.iter().enumerate() {
        if *slot.get_or_init(|| user_data) as usize == user_data as usize {
            return Ok(index);
        }
    }
    Err(Error::failed(format!("more than {} different SQLite libraries use rejoin in this process", SLOTS.len())))
}

unsafe extern "C" fn call<const SLOT: usize>(
    context: *mut sqlite3_context,
    argument_count: c_int,
    arguments: *mut *mut sqlite3_value,
) {
    let Some(user_data) = SLOTS[SLOT].get() else { return };
    // SAFETY: the data was registered with this callback, whose slot belongs to the library that calls it, and lives
    // until the function is destroyed, which cannot happen while it runs.
    let registered: &Registered = unsafe { &*user_data(context).cast::<Registered>() };
    let arguments: &[*mut sqlite3_value] = match usize::try_from(argument_count) {
        // SAFETY: SQLite passes that many values.
        Ok(count) if count > 0 => unsafe { std::slice::from_raw_parts(arguments, count) },
        _ => &[],
    };
    let call = Call { connection: &registered.connection, arguments };
    let api = &registered.connection.inner().api;
    match contain_panic(|| (registered.body)(&call)) {
        // SAFETY: the context belongs to this call.
        Ok(output) => unsafe { return_output(api, context, &output) },
        Err(error) => {
            let message = if error.message.is_empty() { format!("{} failed", registered.name) } else { error.message };
            // SAFETY: the context belongs to this call.
            unsafe { return_error(api, context, &Error::new(error.code, message)) }
        }
    }
}

unsafe extern "C" fn destroy(data: *mut c_void) {
    // A destructor that panics must not unwind into C.
    let _ = contain_panic(|| {
        // SAFETY: the pointer came from Box::into_raw at registration, and SQLite calls this once.
        drop(unsafe { Box::from_raw(data.cast::<Registered>()) });
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linked;
    use crate::value::Value;

    #[test]
    fn values_pass_unchanged_in_both_directions() {
        let (host, _) = linked::open(
            |connection| {
                connection.create_function("same", 1, FunctionFlags::DETERMINISTIC, |call| {
                    Ok(Output::from(call.arg(0).to_value()))
                })
            },
            rusqlite::Connection::open_in_memory,
        )
        .expect("a database in memory opens");
        for literal in
            ["NULL", "1", "-9223372036854775808", "1.5", "9e999", "''", "'hé'", "x''", "x'00ff'", "CAST(x'ff' AS TEXT)"]
        {
            let sql = format!(
                "SELECT quote(same({literal})) IS quote({literal}), typeof(same({literal})) = typeof({literal})"
            );
            let equal: (bool, bool) = host.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            assert_eq!(equal, (true, true), "{literal}");
        }
        assert_eq!(Output::from(Value::Null), Output::Null);
    }

    #[test]
    fn errors_and_panics_become_messages() {
        let (host, _) = linked::open(
            |connection| {
                connection.create_function("fails", 0, FunctionFlags::NONE, |_| Err(Error::failed("a sentence")))?;
                connection.create_function("panics", 0, FunctionFlags::NONE, |_| panic!("on demand"))
            },
            rusqlite::Connection::open_in_memory,
        )
        .expect("a database in memory opens");
        let message = |sql: &str| host.query_row(sql, [], |_| Ok(())).unwrap_err().to_string();
        assert_eq!(message("SELECT fails()"), "a sentence");
        assert!(message("SELECT panics()").contains("on demand"));
    }
}
