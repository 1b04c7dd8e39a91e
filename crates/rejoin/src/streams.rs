//! The change streams as typed values, on the connection of a [`Database`](crate::Database).
//!
//! An [`Outbound`] is what this database has to tell one remote, an [`Inbound`] what one remote has told this one. Both are
//! rows of bookkeeping in the file: no virtual table is made for them, and those that were made in SQL are opened by the same
//! calls. `docs/guide/streams.md` says what is guaranteed.
//!
//! # Options, and package by package
//!
//! ```
//! use rejoin::Database;
//! use rejoin::streams::{Format, OutboundOptions, Receipt, packages};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (a, b) = (Database::open_in_memory()?, Database::open_in_memory()?);
//! # for database in [&a, &b] {
//! #     database.connection().execute_batch(
//! #         "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT); SELECT crsql_as_crr('note');",
//! #     )?;
//! # }
//! // Packages as text, of the table note only, at most two changes in each.
//! let options = OutboundOptions {
//!     format: Format::Json,
//!     tables: Some(vec!["note".into()]),
//!     package_changes_max: Some(2),
//!     ..OutboundOptions::default()
//! };
//! let to_b = a.outbound_with(b.site_id()?, &options)?;
//! let from_a = b.inbound(a.site_id()?)?;
//! a.connection().execute_batch("INSERT INTO note VALUES (1, 'one'), (2, 'two'), (3, 'three')")?;
//!
//! let mut receipt = String::new();
//! for produced in packages(&to_b) {
//!     // A receipt is text for any carrier, and so is this package.
//!     receipt = from_a.apply(produced?.package.as_bytes())?.receipt.to_text();
//! }
//! assert_eq!(to_b.pending()?, 1);
//! to_b.acknowledge(&Receipt::from_text(&receipt)?)?;
//! assert_eq!(to_b.pending()?, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # In any order, over two carriers
//!
//! With [`Order::Any`] a package is taken whenever it arrives. [`Inbound::needs`] names what is missing, and
//! [`packages_between`] makes that once more.
//!
//! ```
//! use rejoin::Database;
//! use rejoin::streams::{Cursor, InboundOptions, Order, OutboundOptions, packages, packages_between};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (a, b) = (Database::open_in_memory()?, Database::open_in_memory()?);
//! # for database in [&a, &b] {
//! #     database.connection().execute_batch(
//! #         "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT); SELECT crsql_as_crr('note');",
//! #     )?;
//! # }
//! let to_b = a.outbound_with(
//!     b.site_id()?,
//!     &OutboundOptions { package_changes_max: Some(1), ..OutboundOptions::default() },
//! )?;
//! let from_a = b.inbound_with(a.site_id()?, &InboundOptions { order: Order::Any, ..InboundOptions::default() })?;
//! for id in 1..=6 {
//!     a.connection().execute("INSERT INTO note VALUES (?1, 'text')", [id])?;
//! }
//!
//! // One carrier takes every second package and delivers them backwards; the other one loses two of its three.
//! let (mut slow, mut lossy) = (Vec::new(), Vec::new());
//! for (index, produced) in packages(&to_b).enumerate() {
//!     let carrier = if index % 2 == 0 { &mut slow } else { &mut lossy };
//!     carrier.push(produced?.package);
//! }
//! slow.reverse();
//! lossy.truncate(1);
//! for package in slow.iter().chain(&lossy) {
//!     from_a.apply(package.as_bytes())?;
//! }
//! let rows = || b.connection().query_row("SELECT count(*) FROM note", [], |row| row.get::<_, i64>(0));
//! assert_eq!(rows()?, 4);
//!
//! // What the receiver knows to be missing is made again, as far as it was not written again meanwhile.
//! a.connection().execute("UPDATE note SET text = 'new' WHERE id = 4", [])?;
//! loop {
//!     to_b.acknowledge(&from_a.receipt()?)?;
//!     let needs = from_a.needs()?;
//!     if needs.is_empty() {
//!         break;
//!     }
//!     for (after, until) in needs {
//!         for produced in packages_between(&to_b, &after, &until) {
//!             from_a.apply(produced?.package.as_bytes())?;
//!         }
//!     }
//! }
//! assert_eq!(rows()?, 6);
//! assert_eq!(to_b.position()?.acked, Cursor::end_of_version(7));
//! # Ok(())
//! # }
//! ```
//!
//! # A large transaction, in a transaction of the caller's own
//!
//! However many packages a transaction takes, it becomes visible at once ([`Atomic::Transaction`]). What the caller writes
//! and what is applied in one transaction of the caller's are kept together, or not at all. The receipt may be sent only
//! after the commit.
//!
//! ```
//! use rejoin::Database;
//! use rejoin::streams::{OutboundOptions, packages};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (a, b) = (Database::open_in_memory()?, Database::open_in_memory()?);
//! # for database in [&a, &b] {
//! #     database.connection().execute_batch(
//! #         "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT); SELECT crsql_as_crr('note');
//! #          CREATE TABLE log (line TEXT);",
//! #     )?;
//! # }
//! a.connection().execute_batch(
//!     "INSERT INTO note
//!      WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 5000) SELECT id, hex(id) FROM n",
//! )?;
//! let small = OutboundOptions { package_bytes_max: 32 << 10, ..OutboundOptions::default() };
//! let (to_b, from_a) = (a.outbound_with(b.site_id()?, &small)?, b.inbound(a.site_id()?)?);
//! let rows = || b.connection().query_row("SELECT count(*) FROM note", [], |row| row.get::<_, i64>(0));
//!
//! let mut taken = 0;
//! let mut receipt = None;
//! for produced in packages(&to_b) {
//!     let transaction = b.connection().unchecked_transaction()?;
//!     receipt = Some(from_a.apply(produced?.package.as_bytes())?.receipt);
//!     taken += 1;
//!     b.connection().execute("INSERT INTO log VALUES (?1)", [format!("package {taken}")])?;
//!     transaction.commit()?;
//!     // All of it or nothing; what has come so far waits in the file and is not lost with the program.
//!     assert!(matches!((rows()?, from_a.staged_bytes()?), (0, 1..) | (5000, 0)));
//! }
//! assert!(taken > 3);
//! assert_eq!(rows()?, 5000);
//! to_b.acknowledge(&receipt.expect("there was a package"))?;
//! assert_eq!(to_b.pending()?, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # How things stand
//!
//! ```
//! use rejoin::Database;
//! use rejoin::streams::Direction;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (a, b) = (Database::open_in_memory()?, Database::open_in_memory()?);
//! # a.connection().execute_batch(
//! #     "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT); SELECT crsql_as_crr('note');
//! #      INSERT INTO note VALUES (1, 'before')",
//! # )?;
//! // A database that lacks the table keeps what comes for it until it has it.
//! let (to_b, from_a) = (a.outbound(b.site_id()?)?, b.inbound(a.site_id()?)?);
//! let package = to_b.next(None)?.expect("there is something to tell").package;
//! to_b.acknowledge(&from_a.apply(package.as_bytes())?.receipt)?;
//! assert_eq!(b.streams().parked()?, 1);
//! b.connection().execute_batch(
//!     "CREATE TABLE note (id INTEGER PRIMARY KEY NOT NULL, text TEXT); SELECT crsql_as_crr('note');",
//! )?;
//! assert_eq!(b.streams().parked()?, 0);
//!
//! for stream in b.streams().list()? {
//!     assert_eq!((stream.direction, stream.remote), (Direction::Inbound, a.site_id()?));
//!     assert_eq!((stream.behind, stream.last_error), (0, None));
//! }
//!
//! // A file that was copied or restored takes a new id; for the others it is a new database.
//! let former = a.site_id()?;
//! assert_ne!(a.streams().reidentify()?, former);
//! assert_eq!(a.streams().former_ids()?, [former]);
//! # Ok(())
//! # }
//! ```

pub use rejoin_bridge::Error as StoreError;
pub use rejoin_change::{Change, Cursor, SiteId};
pub use rejoin_streams::{
    Acknowledged, Applied, Atomic, Direction, Inbound, InboundOptions, OnGap, OnUnknown, OnViolation, Order, Outbound,
    OutboundOptions, OutboundPosition, Outcome, PACKAGE_BYTES_DEFAULT, Produced, Side, Since, StreamError,
    StreamStatus, Streams,
};
pub use rejoin_wire::{
    AsOf, Compression, Encoded, Format, Mark, Package, Position, Range, Receipt, WireError, cursor_from_text,
    cursor_to_text,
};

/// The packages behind the acknowledged position, one after the other, until nothing follows.
///
/// Each is built when it is asked for, from what the database holds by then. A receipt that is acknowledged meanwhile does
/// not move the iterator: where it says that a package did not arrive, begin a new one.
pub fn packages(outbound: &Outbound) -> Packages<'_> {
    Packages { outbound, after: None, until: None, is_done: false }
}

/// The packages behind one cursor, up to and including another.
///
/// Where both come from [`Inbound::needs`] they are what a stream in any order is missing. The last one ends at `until`,
/// also where nothing is left of what lay before it, because it was written again since.
pub fn packages_between<'a>(outbound: &'a Outbound, after: &Cursor, until: &Cursor) -> Packages<'a> {
    Packages { outbound, after: Some(after.clone()), until: Some(until.clone()), is_done: false }
}

/// Packages of an outbound stream, in its order. Ends behind the last one, and behind an error.
pub struct Packages<'a> {
    outbound: &'a Outbound,
    after: Option<Cursor>,
    until: Option<Cursor>,
    is_done: bool,
}

impl Iterator for Packages<'_> {
    type Item = Result<Produced, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let produced = self.outbound.next_until(self.after.as_ref(), self.until.as_ref()).transpose();
        match &produced {
            Some(Ok(produced)) => self.after = Some(produced.end.clone()),
            _ => self.is_done = true,
        }
        produced
    }
}
