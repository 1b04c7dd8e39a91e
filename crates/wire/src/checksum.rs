//! The checksum of what travels as JSON. It covers the content and not the text, so that a carrier may indent the text
//! or order its fields anew. `docs/formats/json.md` gives the bytes that are summed.

use crate::{AsOf, Package, Position, Receipt};
use rejoin_change::{Change, Cursor, Value};

pub(crate) fn of_package(package: &Package) -> u32 {
    let mut sum = Sum::default();
    sum.raw(package.sender.as_bytes());
    sum.raw(package.receiver.as_bytes());
    sum.number(package.former_ids.len() as i64);
    package.former_ids.iter().for_each(|id| sum.raw(id.as_bytes()));
    sum.number(package.run as i64);
    sum.cursor(&package.run_start);
    sum.cursor(&package.since);
    sum.position(&package.start);
    sum.position(&package.end);
    sum.as_of(&package.as_of);
    sum.raw(&[u8::from(package.ends_transaction), u8::from(package.filtered)]);
    sum.option(package.receipt.as_ref(), Sum::receipt);
    sum.number(package.changes.len() as i64);
    package.changes.iter().for_each(|change| sum.change(change));
    sum.finish()
}

pub(crate) fn of_receipt(receipt: &Receipt) -> u32 {
    let mut sum = Sum::default();
    sum.receipt(receipt);
    sum.finish()
}

#[derive(Default)]
struct Sum {
    hasher: crc32fast::Hasher,
    /// Collects small pieces, because the hasher is fast on large ones only.
    pending: Vec<u8>,
}

impl Sum {
    fn finish(mut self) -> u32 {
        self.hasher.update(&self.pending);
        self.hasher.finalize()
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
    }

    fn number(&mut self, number: i64) {
        self.raw(&number.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as i64);
        self.raw(bytes);
    }

    fn option<T>(&mut self, value: Option<&T>, add: impl FnOnce(&mut Sum, &T)) {
        self.raw(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            add(self, value);
        }
    }

    fn cursor(&mut self, cursor: &Cursor) {
        self.bytes(&cursor.to_bytes());
    }

    fn position(&mut self, position: &Position) {
        self.cursor(&position.cursor);
        self.raw(&position.mark.0);
    }

    fn as_of(&mut self, as_of: &AsOf) {
        self.number(as_of.head);
        self.raw(&as_of.mark.0);
    }

    fn receipt(&mut self, receipt: &Receipt) {
        self.raw(receipt.receiver.as_bytes());
        self.raw(receipt.sender.as_bytes());
        self.number(receipt.run as i64);
        self.option(receipt.position.as_ref(), Sum::position);
        self.option(receipt.as_of.as_ref(), Sum::as_of);
        self.number(receipt.ranges.len() as i64);
        for range in &receipt.ranges {
            self.position(&range.start);
            self.position(&range.end);
        }
    }

    fn change(&mut self, change: &Change) {
        self.bytes(change.table.as_bytes());
        self.bytes(change.key.as_bytes());
        self.bytes(change.column.as_bytes());
        match &change.value {
            Value::Null => self.raw(&[0]),
            Value::Integer(integer) => {
                self.raw(&[1]);
                self.number(*integer);
            }
            Value::Real(real) => {
                self.raw(&[2]);
                self.raw(&real.to_bits().to_be_bytes());
            }
            Value::Text(bytes) => {
                self.raw(&[3]);
                self.bytes(bytes);
            }
            Value::Blob(bytes) => {
                self.raw(&[4]);
                self.bytes(bytes);
            }
        }
        self.number(change.col_version);
        self.number(change.db_version);
        self.raw(change.site_id.as_bytes());
        self.number(change.causal_length);
        self.number(change.seq);
    }
}

const PENDING_BYTES_MAX: usize = 16 << 10;
