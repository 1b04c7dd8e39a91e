use super::check::{COLUMNS, FEATURES, INDEXES, SQL, TABLES, TEXT, TOKEN};
use super::encode::MESSAGE;
use super::{
    ColumnShape, Goodbye, Hello, Message, PackageMessage, Ready, ReceiptMessage, Refusal, RefusalCode, Schema, Site,
    TableDefinition, TableShape, Welcome,
};
use crate::binary::bytes::{Reader, push_bytes, push_site_ids, push_varint};
use crate::binary::head::{push_receipt, read_receipt};
use crate::check::NAME;
use crate::encode::bounded;
use crate::error::Result;
use crate::limits::{
    COLUMNS_MAX, FEATURES_MAX, INDEXES_MAX, MESSAGE_BYTES_MAX, MESSAGE_RECEIPT_BYTES_MAX, MESSAGE_SCHEMA_BYTES_MAX,
    MESSAGE_SMALL_BYTES_MAX, NAME_BYTES_MAX, SQL_BYTES_MAX, TABLES_MAX, TEXT_BYTES_MAX, TOKEN_BYTES_MAX,
};

pub(super) fn encode(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        Message::Hello(hello) => {
            out.push(HELLO);
            push_field(&mut out, FIELD_VERSION_MIN, |out| push_varint(out, hello.version_min.into()));
            push_field(&mut out, FIELD_VERSION_MAX, |out| push_varint(out, hello.version_max.into()));
            push_field(&mut out, FIELD_ROOM, |out| out.extend_from_slice(hello.room.as_bytes()));
            if let Some(token) = &hello.token {
                push_field(&mut out, FIELD_TOKEN, |out| out.extend_from_slice(token.as_bytes()));
            }
            push_site(&mut out, &hello.site);
        }
        Message::Welcome(welcome) => {
            out.push(WELCOME);
            push_field(&mut out, FIELD_VERSION, |out| push_varint(out, welcome.version.into()));
            push_site(&mut out, &welcome.site);
        }
        Message::Schema(schema) => {
            out.push(SCHEMA);
            push_list(&mut out, &schema.tables, push_definition);
        }
        Message::Ready(ready) => {
            out.push(READY);
            push_receipt(&mut out, &ready.receipt);
        }
        Message::Package(PackageMessage { number, package }) => {
            out.reserve(package.len() + 16);
            out.push(PACKAGE);
            push_varint(&mut out, *number);
            out.extend_from_slice(package);
        }
        Message::Receipt(ReceiptMessage { answers, receipt }) => {
            out.push(RECEIPT);
            push_varint(&mut out, *answers);
            push_receipt(&mut out, receipt);
        }
        Message::Level => out.push(LEVEL),
        Message::Refusal(Refusal { code, reason, advice }) => {
            out.push(REFUSAL);
            push_varint(&mut out, refusal_number(*code).into());
            push_bytes(&mut out, reason.as_bytes());
            push_bytes(&mut out, advice.as_bytes());
        }
        Message::Goodbye(goodbye) => out.extend([GOODBYE, goodbye_number(*goodbye)]),
        Message::Ping(number) => {
            out.push(PING);
            push_varint(&mut out, *number);
        }
        Message::Pong(number) => {
            out.push(PONG);
            push_varint(&mut out, *number);
        }
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Message> {
    let mut reader = Reader::new(bytes);
    let tag = reader.byte()?;
    bounded(MESSAGE, bytes.len(), bytes_max(tag))?;
    let message = match tag {
        HELLO => Message::Hello(read_hello(&mut reader)?),
        WELCOME => Message::Welcome(read_welcome(&mut reader)?),
        SCHEMA => Message::Schema(Schema { tables: read_list(&mut reader, TABLES, TABLES_MAX, read_definition)? }),
        READY => Message::Ready(Ready { receipt: read_receipt(&mut reader)? }),
        PACKAGE => {
            let number = reader.counter()? as u64;
            let package = reader.rest().to_vec();
            Message::Package(PackageMessage { number, package })
        }
        RECEIPT => {
            let answers = reader.counter()? as u64;
            Message::Receipt(ReceiptMessage { answers, receipt: read_receipt(&mut reader)? })
        }
        LEVEL => Message::Level,
        REFUSAL => Message::Refusal(Refusal {
            code: refusal_code(reader.length("the code of a refusal", u16::MAX.into())? as u16),
            reason: reader.text(TEXT, TEXT_BYTES_MAX)?.to_owned(),
            advice: reader.text(TEXT, TEXT_BYTES_MAX)?.to_owned(),
        }),
        GOODBYE => match reader.byte()? {
            1 => Message::Goodbye(Goodbye::Done),
            2 => Message::Goodbye(Goodbye::Shutdown),
            3 => Message::Goodbye(Goodbye::Restart),
            _ => return Err(reader.malformed("a goodbye gives an unknown cause")),
        },
        PING => Message::Ping(reader.counter()? as u64),
        PONG => Message::Pong(reader.counter()? as u64),
        _ => return Err(reader.malformed("the message is of an unknown kind")),
    };
    reader.finish()?;
    Ok(message)
}

/// How long a message of this kind may be.
pub(super) fn bytes_max(tag: u8) -> usize {
    match tag {
        PACKAGE => MESSAGE_BYTES_MAX,
        SCHEMA => MESSAGE_SCHEMA_BYTES_MAX,
        READY | RECEIPT => MESSAGE_RECEIPT_BYTES_MAX,
        _ => MESSAGE_SMALL_BYTES_MAX,
    }
}

/// One field of a hello or welcome: its number, its length, its content. Fields of unknown number are skipped, because
/// both are read before it is known which version the other side speaks.
fn push_field(out: &mut Vec<u8>, number: u64, push: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    push(&mut content);
    push_varint(out, number);
    push_bytes(out, &content);
}

fn push_site(out: &mut Vec<u8>, site: &Site) {
    push_field(out, FIELD_SITE_ID, |out| out.extend_from_slice(site.site_id.as_bytes()));
    push_field(out, FIELD_FORMER_IDS, |out| push_site_ids(out, &site.former_ids));
    push_field(out, FIELD_FEATURES, |out| {
        push_list(out, &site.features, |out, feature| push_bytes(out, feature.as_bytes()));
    });
    push_field(out, FIELD_TABLES, |out| push_list(out, &site.tables, push_table));
    push_field(out, FIELD_WINDOW, |out| push_varint(out, site.window_bytes.into()));
}

fn push_table(out: &mut Vec<u8>, table: &TableShape) {
    push_bytes(out, table.name.as_bytes());
    push_list(out, &table.columns, |out, column| {
        push_bytes(out, column.name.as_bytes());
        push_varint(out, column.key_place.into());
    });
}

fn read_table(reader: &mut Reader<'_>) -> Result<TableShape> {
    let name = reader.text(NAME, NAME_BYTES_MAX)?.to_owned();
    let columns = read_list(reader, COLUMNS, COLUMNS_MAX, |reader| {
        Ok(ColumnShape { name: reader.text(NAME, NAME_BYTES_MAX)?.to_owned(), key_place: read_u16(reader)? })
    })?;
    Ok(TableShape { name, columns })
}

fn push_definition(out: &mut Vec<u8>, table: &TableDefinition) {
    push_bytes(out, table.name.as_bytes());
    push_bytes(out, table.create_table.as_bytes());
    push_list(out, &table.create_indexes, |out, index| push_bytes(out, index.as_bytes()));
}

fn read_definition(reader: &mut Reader<'_>) -> Result<TableDefinition> {
    Ok(TableDefinition {
        name: reader.text(NAME, NAME_BYTES_MAX)?.to_owned(),
        create_table: reader.text(SQL, SQL_BYTES_MAX)?.to_owned(),
        create_indexes: read_list(reader, INDEXES, INDEXES_MAX, |reader| {
            Ok(reader.text(SQL, SQL_BYTES_MAX)?.to_owned())
        })?,
    })
}

/// The contents of the known fields of a hello or welcome.
#[derive(Default)]
struct Fields<'a> {
    contents: [Option<&'a [u8]>; FIELD_COUNT],
}

impl<'a> Fields<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Fields<'a>> {
        let mut fields = Fields::default();
        while reader.remaining() > 0 {
            let number = reader.varint()?;
            let content = reader.bytes("bytes of a field", MESSAGE_SMALL_BYTES_MAX)?;
            if let Some(slot) = usize::try_from(number).ok().and_then(|number| fields.contents.get_mut(number)) {
                if slot.is_some() {
                    return Err(reader.malformed("a field occurs twice"));
                }
                *slot = Some(content);
            }
        }
        Ok(fields)
    }

    /// Reads a field, all of it; `None` where it is absent.
    fn optional<T>(&self, number: u64, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) -> Result<Option<T>> {
        let Some(content) = self.contents[number as usize] else { return Ok(None) };
        let mut reader = Reader::new(content);
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(Some(value))
    }

    fn required<T>(
        &self,
        whole: &Reader<'_>,
        number: u64,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T>,
    ) -> Result<T> {
        self.optional(number, read)?.ok_or_else(|| whole.malformed("a field of a hello or welcome is missing"))
    }

    fn site(&self, whole: &Reader<'_>) -> Result<Site> {
        Ok(Site {
            site_id: self.required(whole, FIELD_SITE_ID, |reader| reader.site_id())?,
            former_ids: self.required(whole, FIELD_FORMER_IDS, Reader::site_ids)?,
            features: self.required(whole, FIELD_FEATURES, |reader| {
                read_list(reader, FEATURES, FEATURES_MAX, |reader| Ok(reader.text(TEXT, TEXT_BYTES_MAX)?.to_owned()))
            })?,
            tables: self.required(whole, FIELD_TABLES, |reader| read_list(reader, TABLES, TABLES_MAX, read_table))?,
            window_bytes: self.required(whole, FIELD_WINDOW, |reader| {
                Ok(reader.length("bytes of a window", u32::MAX as usize)? as u32)
            })?,
        })
    }
}

fn read_hello(reader: &mut Reader<'_>) -> Result<Hello> {
    let fields = Fields::read(reader)?;
    Ok(Hello {
        version_min: fields.required(reader, FIELD_VERSION_MIN, read_u16)?,
        version_max: fields.required(reader, FIELD_VERSION_MAX, read_u16)?,
        site: fields.site(reader)?,
        room: fields.required(reader, FIELD_ROOM, |reader| read_rest(reader, TEXT, TEXT_BYTES_MAX))?,
        token: fields.optional(FIELD_TOKEN, |reader| read_rest(reader, TOKEN, TOKEN_BYTES_MAX))?,
    })
}

fn read_welcome(reader: &mut Reader<'_>) -> Result<Welcome> {
    let fields = Fields::read(reader)?;
    Ok(Welcome { version: fields.required(reader, FIELD_VERSION, read_u16)?, site: fields.site(reader)? })
}

fn read_u16(reader: &mut Reader<'_>) -> Result<u16> {
    Ok(reader.length("a small number", u16::MAX.into())? as u16)
}

fn read_rest(reader: &mut Reader<'_>, what: &'static str, max: usize) -> Result<String> {
    bounded(what, reader.remaining(), max)?;
    let bytes = reader.rest();
    String::from_utf8(bytes.to_vec()).map_err(|_| reader.malformed("a text is not UTF-8"))
}

fn push_list<T>(out: &mut Vec<u8>, list: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    push_varint(out, list.len() as u64);
    list.iter().for_each(|entry| push(out, entry));
}

/// The list grows as its entries are found, not as its count promises.
fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    what: &'static str,
    max: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = reader.length(what, max)?;
    (0..count).map(|_| read(reader)).collect()
}

pub(super) fn refusal_number(code: RefusalCode) -> u16 {
    match code {
        RefusalCode::Version => 1,
        RefusalCode::Token => 2,
        RefusalCode::Room => 3,
        RefusalCode::Schema => 4,
        RefusalCode::Protocol => 5,
        RefusalCode::Package => 6,
        RefusalCode::Identity => 7,
        RefusalCode::Busy => 8,
        RefusalCode::Store => 9,
        RefusalCode::Other(number) => number,
    }
}

pub(super) fn refusal_code(number: u16) -> RefusalCode {
    match number {
        1 => RefusalCode::Version,
        2 => RefusalCode::Token,
        3 => RefusalCode::Room,
        4 => RefusalCode::Schema,
        5 => RefusalCode::Protocol,
        6 => RefusalCode::Package,
        7 => RefusalCode::Identity,
        8 => RefusalCode::Busy,
        9 => RefusalCode::Store,
        other => RefusalCode::Other(other),
    }
}

fn goodbye_number(goodbye: Goodbye) -> u8 {
    match goodbye {
        Goodbye::Done => 1,
        Goodbye::Shutdown => 2,
        Goodbye::Restart => 3,
    }
}

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const SCHEMA: u8 = 3;
const READY: u8 = 4;
const PACKAGE: u8 = 5;
const RECEIPT: u8 = 6;
const LEVEL: u8 = 7;
const REFUSAL: u8 = 8;
const GOODBYE: u8 = 9;
const PING: u8 = 10;
const PONG: u8 = 11;

const FIELD_VERSION: u64 = 0;
const FIELD_VERSION_MIN: u64 = 1;
const FIELD_VERSION_MAX: u64 = 2;
const FIELD_ROOM: u64 = 3;
const FIELD_TOKEN: u64 = 4;
const FIELD_SITE_ID: u64 = 5;
const FIELD_FORMER_IDS: u64 = 6;
const FIELD_FEATURES: u64 = 7;
const FIELD_TABLES: u64 = 8;
const FIELD_WINDOW: u64 = 9;
const FIELD_COUNT: usize = 10;
