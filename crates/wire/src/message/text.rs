use super::binary::{refusal_code, refusal_number};
use super::check::{COLUMNS, FEATURES, INDEXES, SQL, TABLES, TEXT, TOKEN};
use super::encode::MESSAGE;
use super::{
    ColumnShape, Goodbye, Hello, Message, PackageMessage, Ready, ReceiptMessage, Refusal, RefusalCode, Schema, Site,
    TableDefinition, TableShape, Welcome,
};
use crate::check::NAME;
use crate::encode::bounded;
use crate::error::Result;
use crate::json::package::read_former_ids;
use crate::json::reader::{Reader, UNKNOWN_FIELD};
use crate::json::receipt::{read_receipt, write_receipt};
use crate::json::writer::Writer;
use crate::limits::{
    COLUMNS_MAX, FEATURES_MAX, INDEXES_MAX, MESSAGE_SCHEMA_BYTES_MAX, MESSAGE_SMALL_BYTES_MAX, NAME_BYTES_MAX,
    PACKAGE_BYTES_MAX, SQL_BYTES_MAX, TABLES_MAX, TEXT_BYTES_MAX, TOKEN_BYTES_MAX,
};

pub(super) fn encode(message: &Message) -> String {
    let mut out = Writer::new();
    out.object(|out| {
        out.name("type").string(kind(message));
        match message {
            Message::Hello(hello) => {
                out.name("version_min").integer(hello.version_min.into());
                out.name("version_max").integer(hello.version_max.into());
                out.name("room").string(&hello.room);
                out.name("token").option(hello.token.as_ref(), |out, token| out.string(token));
                write_site(out.name("site"), &hello.site);
            }
            Message::Welcome(welcome) => {
                out.name("version").integer(welcome.version.into());
                write_site(out.name("site"), &welcome.site);
            }
            Message::Schema(schema) => {
                out.name("tables").array(|out| schema.tables.iter().for_each(|table| write_definition(out, table)));
            }
            Message::Ready(ready) => write_receipt(out.name("receipt"), &ready.receipt),
            Message::Package(PackageMessage { number, package }) => {
                out.name("number").integer(*number as i64);
                match json_object(package) {
                    Some(json) => out.name("package").raw(json),
                    None => out.name("binary_package").base64(package),
                }
            }
            Message::Receipt(ReceiptMessage { answers, receipt }) => {
                out.name("answers").integer(*answers as i64);
                write_receipt(out.name("receipt"), receipt);
            }
            Message::Refusal(Refusal { code, reason, advice }) => {
                match refusal_word(*code) {
                    Some(word) => out.name("code").string(word),
                    None => out.name("code").integer(refusal_number(*code).into()),
                }
                out.name("reason").string(reason);
                out.name("advice").string(advice);
            }
            Message::Goodbye(goodbye) => out.name("cause").string(goodbye_word(*goodbye)),
            Message::Ping(number) | Message::Pong(number) => out.name("number").integer(*number as i64),
            Message::Level => {}
        }
    });
    out.finish()
}

pub(super) fn decode(text: &str) -> Result<Message> {
    let mut fields = Fields::read(text)?;
    let kind = fields.take("type", |reader| reader.string(TEXT, TEXT_BYTES_MAX))?;
    match &*kind {
        "package" => {}
        "schema" => bounded(MESSAGE, text.len(), MESSAGE_SCHEMA_BYTES_MAX)?,
        "ready" | "receipt" => bounded(MESSAGE, text.len(), crate::limits::MESSAGE_RECEIPT_BYTES_MAX)?,
        _ => bounded(MESSAGE, text.len(), MESSAGE_SMALL_BYTES_MAX)?,
    }
    let message = match &*kind {
        // Hello and welcome may have fields that only later versions know.
        "hello" => return read_hello(fields).map(Message::Hello),
        "welcome" => return read_welcome(fields).map(Message::Welcome),
        "schema" => Message::Schema(Schema {
            tables: fields.take("tables", |reader| read_list(reader, TABLES, TABLES_MAX, read_definition))?,
        }),
        "ready" => Message::Ready(Ready { receipt: fields.take("receipt", read_receipt)? }),
        "package" => {
            let number = fields.take("number", Reader::counter)? as u64;
            let json = fields.take_optional("package", |reader| Ok(reader.raw()?.as_bytes().to_vec()))?;
            let package = match json {
                Some(json) => json,
                None => fields.take("binary_package", |reader| reader.base64("a binary package", PACKAGE_BYTES_MAX))?,
            };
            Message::Package(PackageMessage { number, package })
        }
        "receipt" => Message::Receipt(ReceiptMessage {
            answers: fields.take("answers", Reader::counter)? as u64,
            receipt: fields.take("receipt", read_receipt)?,
        }),
        "level" => Message::Level,
        "refusal" => Message::Refusal(Refusal {
            code: fields.take("code", read_refusal_code)?,
            reason: fields.take("reason", read_text)?,
            advice: fields.take("advice", read_text)?,
        }),
        "goodbye" => Message::Goodbye(fields.take("cause", read_goodbye)?),
        "ping" => Message::Ping(fields.take("number", Reader::counter)? as u64),
        "pong" => Message::Pong(fields.take("number", Reader::counter)? as u64),
        _ => return Err(Reader::new(text).malformed("the message is of an unknown kind")),
    };
    fields.finish()?;
    Ok(message)
}

fn read_hello(mut fields: Fields<'_>) -> Result<Hello> {
    Ok(Hello {
        version_min: fields.take("version_min", read_u16)?,
        version_max: fields.take("version_max", read_u16)?,
        site: fields.take("site", read_site)?,
        room: fields.take("room", read_text)?,
        token: fields
            .take_optional("token", |reader| {
                reader.option(|reader| Ok(reader.string(TOKEN, TOKEN_BYTES_MAX)?.into_owned()))
            })?
            .flatten(),
    })
}

fn read_welcome(mut fields: Fields<'_>) -> Result<Welcome> {
    Ok(Welcome { version: fields.take("version", read_u16)?, site: fields.take("site", read_site)? })
}

fn write_site(out: &mut Writer, site: &Site) {
    out.object(|out| {
        out.name("site_id").site_id(&site.site_id);
        out.name("former_ids").array(|out| site.former_ids.iter().for_each(|id| out.site_id(id)));
        out.name("features").array(|out| site.features.iter().for_each(|feature| out.string(feature)));
        out.name("tables").array(|out| site.tables.iter().for_each(|table| write_table(out, table)));
        out.name("window_bytes").integer(site.window_bytes.into());
    });
}

fn read_site(reader: &mut Reader<'_>) -> Result<Site> {
    let mut fields = Fields::read(reader.raw()?)?;
    Ok(Site {
        site_id: fields.take("site_id", |reader| reader.site_id())?,
        former_ids: fields.take("former_ids", read_former_ids)?,
        features: fields.take("features", |reader| read_list(reader, FEATURES, FEATURES_MAX, read_text))?,
        tables: fields.take("tables", |reader| read_list(reader, TABLES, TABLES_MAX, read_table))?,
        window_bytes: fields.take("window_bytes", |reader| read_small(reader))?,
    })
}

fn write_table(out: &mut Writer, table: &TableShape) {
    out.object(|out| {
        out.name("name").string(&table.name);
        out.name("columns").array(|out| {
            for column in &table.columns {
                out.object(|out| {
                    out.name("name").string(&column.name);
                    out.name("key_place").integer(column.key_place.into());
                });
            }
        });
    });
}

fn read_table(reader: &mut Reader<'_>) -> Result<TableShape> {
    let mut fields = Fields::read(reader.raw()?)?;
    let table = TableShape {
        name: fields.take("name", read_name)?,
        columns: fields.take("columns", |reader| read_list(reader, COLUMNS, COLUMNS_MAX, read_column))?,
    };
    fields.finish()?;
    Ok(table)
}

fn read_column(reader: &mut Reader<'_>) -> Result<ColumnShape> {
    let mut fields = Fields::read(reader.raw()?)?;
    let column = ColumnShape { name: fields.take("name", read_name)?, key_place: fields.take("key_place", read_u16)? };
    fields.finish()?;
    Ok(column)
}

fn write_definition(out: &mut Writer, table: &TableDefinition) {
    out.object(|out| {
        out.name("name").string(&table.name);
        out.name("create_table").string(&table.create_table);
        out.name("create_indexes").array(|out| table.create_indexes.iter().for_each(|index| out.string(index)));
    });
}

fn read_definition(reader: &mut Reader<'_>) -> Result<TableDefinition> {
    let mut fields = Fields::read(reader.raw()?)?;
    let table = TableDefinition {
        name: fields.take("name", read_name)?,
        create_table: fields.take("create_table", read_sql)?,
        create_indexes: fields.take("create_indexes", |reader| read_list(reader, INDEXES, INDEXES_MAX, read_sql))?,
    };
    fields.finish()?;
    Ok(table)
}

/// The fields of one object, each still as text, so that they can be read in any order: which fields there are depends
/// on one of them, the type.
struct Fields<'a> {
    fields: Vec<(String, &'a str)>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Fields<'a>> {
        let mut fields: Vec<(String, &'a str)> = Vec::new();
        let mut reader = Reader::new(text);
        reader.object(|reader, name| {
            bounded("fields of an object", fields.len() + 1, FIELDS_MAX)?;
            if fields.iter().any(|(known, _)| known == name) {
                return Err(reader.malformed("a field occurs twice"));
            }
            fields.push((name.to_owned(), reader.raw()?));
            Ok(())
        })?;
        reader.finish()?;
        Ok(Fields { fields })
    }

    fn take<T>(&mut self, name: &str, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) -> Result<T> {
        self.take_optional(name, read)?.ok_or_else(|| Reader::new("").malformed("a field of a message is missing"))
    }

    fn take_optional<T>(&mut self, name: &str, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) -> Result<Option<T>> {
        let Some(at) = self.fields.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let mut reader = Reader::new(self.fields.swap_remove(at).1);
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(Some(value))
    }

    /// Fails when fields are left that nobody has asked for.
    fn finish(self) -> Result<()> {
        if self.fields.is_empty() { Ok(()) } else { Err(Reader::new("").malformed(UNKNOWN_FIELD)) }
    }
}

fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    what: &'static str,
    max: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut list = Vec::new();
    reader.array(|reader| {
        bounded(what, list.len() + 1, max)?;
        list.push(read(reader)?);
        Ok(())
    })?;
    Ok(list)
}

fn read_text(reader: &mut Reader<'_>) -> Result<String> {
    Ok(reader.string(TEXT, TEXT_BYTES_MAX)?.into_owned())
}

fn read_name(reader: &mut Reader<'_>) -> Result<String> {
    Ok(reader.string(NAME, NAME_BYTES_MAX)?.into_owned())
}

fn read_sql(reader: &mut Reader<'_>) -> Result<String> {
    Ok(reader.string(SQL, SQL_BYTES_MAX)?.into_owned())
}

fn read_u16(reader: &mut Reader<'_>) -> Result<u16> {
    read_small(reader)
}

fn read_small<T: TryFrom<i64>>(reader: &mut Reader<'_>) -> Result<T> {
    let number = reader.counter()?;
    T::try_from(number).map_err(|_| reader.malformed("a number is too large for its field"))
}

/// The text of a package that is one JSON object and nothing around it. Anything else travels as base64.
fn json_object(package: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(package).ok().filter(|text| text.starts_with('{'))?;
    Reader::new(text).raw().ok().filter(|object| object.len() == text.len())
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "hello",
        Message::Welcome(_) => "welcome",
        Message::Schema(_) => "schema",
        Message::Ready(_) => "ready",
        Message::Package(_) => "package",
        Message::Receipt(_) => "receipt",
        Message::Level => "level",
        Message::Refusal(_) => "refusal",
        Message::Goodbye(_) => "goodbye",
        Message::Ping(_) => "ping",
        Message::Pong(_) => "pong",
    }
}

fn refusal_word(code: RefusalCode) -> Option<&'static str> {
    let number = usize::from(refusal_number(code));
    REFUSAL_WORDS.get(number.wrapping_sub(1)).copied()
}

fn read_refusal_code(reader: &mut Reader<'_>) -> Result<RefusalCode> {
    if reader.peek() != b'"' {
        return read_u16(reader).map(refusal_code);
    }
    let word = reader.string(TEXT, TEXT_BYTES_MAX)?;
    match REFUSAL_WORDS.iter().position(|known| *known == word) {
        Some(at) => Ok(refusal_code(at as u16 + 1)),
        None => Err(reader.malformed("a refusal has an unknown code")),
    }
}

fn goodbye_word(goodbye: Goodbye) -> &'static str {
    match goodbye {
        Goodbye::Done => "done",
        Goodbye::Shutdown => "shutdown",
        Goodbye::Restart => "restart",
    }
}

fn read_goodbye(reader: &mut Reader<'_>) -> Result<Goodbye> {
    match &*reader.string(TEXT, TEXT_BYTES_MAX)? {
        "done" => Ok(Goodbye::Done),
        "shutdown" => Ok(Goodbye::Shutdown),
        "restart" => Ok(Goodbye::Restart),
        _ => Err(reader.malformed("a goodbye gives an unknown cause")),
    }
}

/// In the order of the numbers that binary messages use, from 1.
const REFUSAL_WORDS: [&str; 9] =
    ["version", "token", "room", "schema", "protocol", "package", "identity", "busy", "store"];
const FIELDS_MAX: usize = 64;
