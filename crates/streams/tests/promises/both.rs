//! What holds for streams of both directions: their columns, where they live, who uses them at once, and who they are for.

use crate::common::*;
use crate::{apply, connect, pair, tell_b, write};
use rejoin_change::SiteId;
use rusqlite::types::Value;

#[test]
fn the_columns_are_these_and_the_hidden_ones_are_hidden() {
    let folder = Folder::new();
    let (a, _b) = pair(&folder, "");
    let tables = [
        (
            "out_to_b",
            "package cursor changes bytes",
            "change db_version seq last_retrieved last_sent last_acked head receipt",
        ),
        ("in_from_b", "last_seen receipt applied needs staged_bytes parked last_error", "package dropped violations"),
        ("crsql_streams", "name direction remote position head behind staged_bytes parked last_error last_active", ""),
    ];
    for (table, seen, hidden) in tables {
        for (columns, flag) in [(seen, 0), (hidden, 1)] {
            let sql = format!("SELECT name FROM pragma_table_xinfo('{table}') WHERE hidden = {flag}");
            let expected: Vec<Value> = columns.split_whitespace().map(|name| Value::Text(name.into())).collect();
            assert_eq!(a.values(&sql), expected, "{table}");
        }
    }
}

#[test]
fn crsql_streams_says_in_plain_types_where_each_stream_stands() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    write(&a, 1, 3);
    write(&b, 4, 4);
    assert_eq!(tell_b(&a, &b), 1);
    a.insert("INSERT INTO in_from_b(package) VALUES (?1)", &b.one("SELECT package FROM out_to_a")).unwrap();
    write(&a, 5, 6);
    let third = SiteId([3; 16]);
    a.streams().outbound(third, &Default::default()).unwrap();
    let list = "SELECT direction || ' ' || ifnull(name, '-') || ' ' || hex(remote) || ' ' || position || ' ' ||
        ifnull(head, '-') || ' ' || behind || ' ' || staged_bytes || ' ' || parked || ' ' || ifnull(last_error, '-')
        FROM crsql_streams ORDER BY 1";
    let site = b.site().to_string().to_uppercase();
    let third = third.to_string().to_uppercase();
    let expected = [
        format!("inbound in_from_b {site} [2,\"end\"] [2,\"end\"] 0 0 0 -"),
        format!("outbound - {third} [0,0] [6,\"end\"] 6 0 0 -"),
        format!("outbound out_to_b {site} [3,\"end\"] [6,\"end\"] 3 0 0 -"),
    ];
    assert_eq!(a.values(list), expected.map(Value::Text), "a stream without a table is listed too");
    let types = "SELECT DISTINCT typeof(remote) || typeof(position) || json_array_length(position) || typeof(behind)
        FROM crsql_streams";
    assert_eq!(a.values(types), [Value::Text("blobtext2integer".into())]);
    let now = "SELECT count(*) FROM crsql_streams WHERE abs(last_active - unixepoch() * 1000) < 3600000";
    assert_eq!(a.one::<i64>(now), 3);
}

#[test]
fn streams_live_in_the_main_database_only() {
    let folder = Folder::new();
    let (a, b) = (folder.database("a"), folder.database("b"));
    let other = folder.path("other");
    a.run(&format!("ATTACH '{}' AS other", other.display()));
    for module in ["outbound", "inbound"] {
        let text =
            a.refused(&format!("CREATE VIRTUAL TABLE other.s USING crsql_{module}_stream(remote = x'{}')", b.site()));
        assert!(text.contains("streams live in the main database, and other.s is in another one"), "{text}");
    }
    let made = "SELECT count(*) FROM other.sqlite_master";
    assert_eq!((a.one::<i64>(made), a.one::<i64>("SELECT count(*) FROM crsql_streams")), (0, 0));
}

#[test]
fn every_table_of_the_bookkeeping_is_protected_in_defensive_mode() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    a.host.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).unwrap();
    let tables =
        a.values("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'crsql\\_streams\\_%' ESCAPE '\\'");
    assert!(tables.len() >= 9, "{tables:?}");
    for table in tables {
        let Value::Text(table) = table else { panic!("a name is text") };
        for sql in [format!("DELETE FROM {table}"), format!("INSERT INTO {table} DEFAULT VALUES")] {
            assert!(a.refused(&sql).contains("may not be modified"), "{sql}");
        }
        assert!(a.refused(&format!("DROP TABLE {table}")).contains("may not be dropped"), "{table}");
    }
    write(&a, 1, 1);
    assert_eq!(tell_b(&a, &b), 1);
}

#[test]
fn two_connections_use_one_stream_by_turns() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", package_changes_max = 1");
    write(&a, 1, 6);
    let (a2, b2) = (a.again(), b.again());
    let (senders, receivers) = ([&a, &a2], [&b, &b2]);
    for turn in 0..6 {
        let (from, to) = (senders[turn % 2], receivers[turn / 2 % 2]);
        let package: Value = from.one("SELECT crsql_next('out_to_b')");
        let receipt: Value = to.call("SELECT crsql_apply('in_from_a', ?1)", &package).unwrap();
        assert_eq!(to.one::<i64>("SELECT applied FROM in_from_a"), 1, "turn {turn}");
        assert_eq!(senders[1 - turn % 2].call::<i64>("SELECT crsql_ack('out_to_b', ?1)", &receipt), Ok(1));
    }
    assert_eq!(a.one::<Value>("SELECT crsql_next('out_to_b')"), Value::Null);
    assert_eq!(a.content(), b.content());
}

#[test]
fn one_connection_reads_a_stream_while_another_writes_and_applies() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", package_changes_max = 1");
    write(&a, 1, 4);
    write(&b, 11, 13);
    let incoming = b.values("SELECT package FROM out_to_a");
    let other = a.again();
    let mut read = a.host.prepare("SELECT package FROM out_to_b").unwrap();
    let mut rows = read.query([]).unwrap();
    let mut told = 0;
    while let Some(row) = rows.next().unwrap() {
        apply(&b, &row.get(0).unwrap()).unwrap();
        if let Some(package) = incoming.get(told) {
            other.insert("INSERT INTO in_from_b(package) VALUES (?1)", package).unwrap();
            write(&other, 20 + told as i64, 20 + told as i64);
        }
        told += 1;
        assert!(told < 50, "the read ends");
    }
    drop(rows);
    drop(read);
    other.insert("INSERT INTO out_to_b(receipt) VALUES (?1)", &b.one("SELECT receipt FROM in_from_a")).unwrap();
    tell_b(&other, &b);
    assert_eq!(a.content(), b.content());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM u"), 10);
}

/// Bits of every value as it is stored.
fn stored(database: &Database) -> Vec<String> {
    let mut statement = database.host.prepare("SELECT v, r, i FROM n ORDER BY id").unwrap();
    let shown = |value: rusqlite::types::ValueRef<'_>| match value {
        rusqlite::types::ValueRef::Real(real) => format!("{:016x}", real.to_bits()),
        other => format!("{other:?}"),
    };
    let rows = statement
        .query_map([], |row| Ok((0..3).map(|at| shown(row.get_ref(at).unwrap())).collect::<Vec<_>>().join(" ")))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn numbers_texts_and_bytes_arrive_as_they_are_stored_in_either_format() {
    let table = "CREATE TABLE n(id INTEGER PRIMARY KEY NOT NULL, v, r REAL, i INTEGER); SELECT crsql_as_crr('n')";
    let mut values: Vec<Value> = [i64::MIN, i64::MIN + 1, -(1 << 53) - 1, -1, 0, (1 << 53) - 1, 1 << 53]
        .into_iter()
        .chain([(1 << 53) + 1, i64::MAX - 1, i64::MAX])
        .map(Value::Integer)
        .collect();
    let tiny = [f64::from_bits(1), -f64::from_bits(1), f64::MIN_POSITIVE, f64::from_bits(0x000f_ffff_ffff_ffff)];
    let reals = [-0.0, 0.0, 1.0, 0.1, 1e15, 9_007_199_254_740_993.0, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
    values.extend(tiny.into_iter().chain(reals).map(Value::Real));
    values.extend([
        Value::Null,
        Value::Blob(vec![]),
        Value::Blob(vec![0, 255]),
        Value::Text("a\0\"\\é\u{1f600}".into()),
    ]);
    for (format, class) in [("binary", "blob"), ("json", "text"), ("json, compression = zstd", "text")] {
        let folder = Folder::new();
        let (a, b) = (folder.database("a"), folder.database("b"));
        a.run(table);
        b.run(table);
        connect(&a, &b, &format!(", format = {format}"));
        for value in &values {
            a.host.execute("INSERT INTO n(v, r, i) VALUES (?1, ?1, ?1)", [value]).unwrap();
        }
        a.run("INSERT INTO n(v) VALUES (CAST(x'61ff62' AS TEXT))");
        let package: Value = a.one("SELECT package FROM out_to_b");
        assert_eq!(a.one::<String>("SELECT typeof(package) FROM out_to_b"), class);
        if let Value::Text(text) = &package {
            let said = ["{\"real\":\"8000000000000000\"}", "{\"int\":\"9223372036854775807\"}", "{\"blob\":\"AP8=\"}"];
            assert!(text.starts_with('{') && said.iter().all(|said| text.contains(said)), "{text}");
            assert!(text.contains("{\"text\":\"Yf9i\"}"), "{text}");
        }
        assert_eq!(tell_b(&a, &b), 1);
        assert_eq!(stored(&a), stored(&b), "{format}");
        assert_eq!(stored(&b).len(), values.len() + 1);
    }
}

/// The same inbound stream is told by packages of both forms in turns; a receipt is text whatever they were.
#[test]
fn an_inbound_stream_takes_either_format_and_a_receipt_is_text() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    for (turn, format) in ["json", "binary", "json"].into_iter().enumerate() {
        a.run("DROP TABLE out_to_b");
        let site = b.site();
        a.run(&format!(
            "CREATE VIRTUAL TABLE out_to_b USING crsql_outbound_stream(remote = x'{site}', format = {format})"
        ));
        a.insert("INSERT INTO out_to_b(receipt) VALUES (?1)", &b.one("SELECT receipt FROM in_from_a")).unwrap();
        write(&a, turn as i64, turn as i64);
        assert_eq!(tell_b(&a, &b), 1, "{format}");
        assert_eq!(b.one::<String>("SELECT typeof(receipt) FROM in_from_a"), "text");
    }
    assert_eq!(a.content(), b.content());
}

#[test]
fn a_change_of_identity_is_one_transaction_and_forgets_only_what_was_sent() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, "");
    write(&a, 1, 2);
    tell_b(&a, &b);
    let third = "x'03030303030303030303030303030303'";
    a.run(&format!(
        "INSERT OR REPLACE INTO crsql_tracked_peers(site_id, version, seq, tag, event) VALUES ({third}, 5, 0, 0, 0)"
    ));
    let before = (a.site(), a.values("SELECT position FROM crsql_streams"));
    a.run("BEGIN; SELECT crsql_reidentify(); ROLLBACK");
    assert_eq!((a.site(), a.values("SELECT position FROM crsql_streams")), before);
    let peers = |event| a.one::<i64>(&format!("SELECT count(*) FROM crsql_tracked_peers WHERE event = {event}"));
    assert_eq!((peers(0), peers(1)), (1, 1));
    a.run("SELECT crsql_reidentify()");
    assert_ne!(a.site(), before.0);
    assert_eq!(a.streams().former_ids().unwrap(), [before.0]);
    assert_eq!((peers(0), peers(1)), (1, 0));
    assert_eq!(a.one::<i64>("SELECT crsql_pending('out_to_b')"), a.streams().head().unwrap());
    assert_eq!(a.one::<i64>("SELECT count(*) FROM crsql_changes WHERE db_version <= 2"), 2, "nothing was written anew");
}

/// The former id may be alive elsewhere, so its stream stays; the new one says what it is.
#[test]
fn the_stream_of_a_former_id_stays_and_says_where_it_goes_on() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, ", package_changes_max = 1");
    a.run("BEGIN; INSERT INTO u VALUES ('x', 1), ('y', 1); COMMIT");
    apply(&b, &a.one("SELECT package FROM out_to_b LIMIT 1")).unwrap();
    assert_eq!(b.one::<i64>("SELECT count(*) FROM u"), 0, "half of a transaction waits");
    a.run("SELECT crsql_reidentify()");
    let new = a.site();
    b.run(&format!("CREATE VIRTUAL TABLE in_from_new USING crsql_inbound_stream(remote = x'{new}')"));
    let package: Value = a.one("SELECT package FROM out_to_b");
    b.insert("INSERT INTO in_from_new(package) VALUES (?1)", &package).unwrap();
    assert_eq!(b.one::<i64>("SELECT staged_bytes FROM in_from_a"), 0);
    let error: String = b.one("SELECT last_error FROM in_from_a");
    assert!(error.contains(&format!("is a former id of {new}")), "{error}");
    assert_eq!(b.one::<i64>("SELECT count(*) FROM crsql_streams WHERE direction = 'inbound'"), 2);
}
