use super::{Message, Schema, Site};
use crate::binary::bytes::{COUNTER_OUT_OF_RANGE, FORMER_IDS, counter};
use crate::check::{NAME, check_receipt};
use crate::encode::bounded;
use crate::error::{Result, WireError};
use crate::limits::{
    COLUMNS_MAX, FEATURES_MAX, FORMER_IDS_MAX, INDEXES_MAX, NAME_BYTES_MAX, PACKAGE_JSON_BYTES_MAX, SQL_BYTES_MAX,
    TABLES_MAX, TEXT_BYTES_MAX, TOKEN_BYTES_MAX,
};

/// Checks before writing what every reader will check.
pub(super) fn check_message(message: &Message) -> Result<()> {
    match message {
        Message::Hello(hello) => {
            bounded(TEXT, hello.room.len(), TEXT_BYTES_MAX)?;
            bounded(TOKEN, hello.token.as_ref().map_or(0, String::len), TOKEN_BYTES_MAX)?;
            check_site(&hello.site)
        }
        Message::Welcome(welcome) => check_site(&welcome.site),
        Message::Schema(schema) => check_schema(schema),
        Message::Ready(ready) => check_receipt(&ready.receipt),
        Message::Package(package) => {
            bounded("bytes of a package", package.package.len(), PACKAGE_JSON_BYTES_MAX)?;
            check_number(package.number)
        }
        Message::Receipt(receipt) => {
            check_number(receipt.answers)?;
            check_receipt(&receipt.receipt)
        }
        Message::Refusal(refusal) => {
            bounded(TEXT, refusal.reason.len(), TEXT_BYTES_MAX)?;
            bounded(TEXT, refusal.advice.len(), TEXT_BYTES_MAX)
        }
        Message::Ping(number) | Message::Pong(number) => check_number(*number),
        Message::Level | Message::Goodbye(_) => Ok(()),
    }
}

fn check_site(site: &Site) -> Result<()> {
    bounded(FORMER_IDS, site.former_ids.len(), FORMER_IDS_MAX)?;
    bounded(FEATURES, site.features.len(), FEATURES_MAX)?;
    site.features.iter().try_for_each(|feature| bounded(TEXT, feature.len(), TEXT_BYTES_MAX))?;
    bounded(TABLES, site.tables.len(), TABLES_MAX)?;
    site.tables.iter().try_for_each(|table| {
        bounded(NAME, table.name.len(), NAME_BYTES_MAX)?;
        bounded(COLUMNS, table.columns.len(), COLUMNS_MAX)?;
        table.columns.iter().try_for_each(|column| bounded(NAME, column.name.len(), NAME_BYTES_MAX))
    })
}

fn check_schema(schema: &Schema) -> Result<()> {
    bounded(TABLES, schema.tables.len(), TABLES_MAX)?;
    schema.tables.iter().try_for_each(|table| {
        bounded(NAME, table.name.len(), NAME_BYTES_MAX)?;
        bounded(SQL, table.create_table.len(), SQL_BYTES_MAX)?;
        bounded(INDEXES, table.create_indexes.len(), INDEXES_MAX)?;
        table.create_indexes.iter().try_for_each(|index| bounded(SQL, index.len(), SQL_BYTES_MAX))
    })
}

fn check_number(number: u64) -> Result<()> {
    counter(number).map(drop).ok_or(WireError::Misuse { what: COUNTER_OUT_OF_RANGE })
}

pub(super) const TEXT: &str = "bytes of a text in a message";
pub(super) const TOKEN: &str = "bytes of a token";
pub(super) const FEATURES: &str = "features of one side";
pub(super) const TABLES: &str = "tables in a message";
pub(super) const COLUMNS: &str = "columns of a table";
pub(super) const INDEXES: &str = "indexes of a table";
pub(super) const SQL: &str = "bytes of an SQL statement";
