use serde_json::json;

use crate::{ask, bytes, folder, rejoin, sql};

/// What real schemas are like at their worst.
const NASTY: &str = r#"
PRAGMA foreign_keys = OFF;
CREATE TABLE "parent ""one""" ( -- the ( first
  [id no] INTEGER CONSTRAINT "pk, really" PRIMARY KEY AUTOINCREMENT, /* AUTOINCREMENT? */
  `na me` VARCHAR(20, 2) NOT NULL COLLATE NOCASE CONSTRAINT u1 UNIQUE ON CONFLICT FAIL,
  'quoted' TEXT DEFAULT 'it''s, (default)' NOT NULL CHECK ("quoted" <> ')'),
  price NUMERIC(10,2) NOT NULL CONSTRAINT positive CHECK (price > 0),
  qty INT NOT NULL DEFAULT (1 + 2),
  total AS (price * qty) STORED,
  label TEXT GENERATED ALWAYS AS ("na me" || '!') VIRTUAL NOT NULL,
  CONSTRAINT odd CHECK ("parent ""one""".qty >= 0),
  CONSTRAINT both UNIQUE (price, `na me` COLLATE BINARY DESC) ON CONFLICT IGNORE
);
CREATE TABLE child(
  a TEXT, b INTEGER NULL, "when" DATETIME NOT NULL, note,
  p INTEGER NOT NULL REFERENCES "parent ""one"""([id no]) ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (b, a) ON CONFLICT REPLACE
  CONSTRAINT fk FOREIGN KEY (p) REFERENCES "parent ""one""" MATCH SIMPLE -- no comma before this
, UNIQUE (note)) /* tail */;
CREATE TABLE wr(x BLOB, y REAL NOT NULL, z ANY NOT NULL DEFAULT x'00', PRIMARY KEY(x DESC)) WITHOUT ROWID, STRICT;
CREATE TABLE log(id INTEGER PRIMARY KEY, line TEXT);
CREATE UNIQUE INDEX "child, when" ON child("when" DESC, lower(note)) WHERE note IS NOT NULL;
CREATE INDEX plain ON child(p);
CREATE VIEW v AS SELECT c.a, o."na me", o.total FROM child c JOIN "parent ""one""" o ON o.[id no] = c.p;
CREATE TRIGGER t1 AFTER INSERT ON child BEGIN INSERT INTO log(line) VALUES ('child ' || NEW.a || '; CREATE TABLE'); END;
CREATE TRIGGER t2 INSTEAD OF INSERT ON v BEGIN INSERT INTO child(a, b, "when", p) VALUES (NEW.a, 9, 'now', 1); END;
CREATE TRIGGER t3 AFTER DELETE ON log BEGIN DELETE FROM child WHERE a = OLD.line; END;
CREATE TRIGGER t4 AFTER UPDATE ON wr BEGIN
  INSERT INTO child(a, b, "when", note, p) VALUES ('w', 7, 'now', 'n', 5) ON CONFLICT (note) DO NOTHING; END;
INSERT INTO "parent ""one"""([id no], "na me", price) VALUES (5, 'Ada', 1.5), (9223372036854775807, 'Bob', 0.1);
INSERT INTO child(rowid, a, b, "when", note, p) VALUES (77, 'x', 1, '2026-01-01', 'n', 5), (3, 'y', 2, 'z', NULL, 404);
INSERT INTO wr VALUES (x'ff', 2.5, 1), (x'00', -0.5, 'text');
DELETE FROM log;
"#;

fn everything(connection: &rejoin::rusqlite::Connection) -> Vec<String> {
    [
        "SELECT [id no], * FROM \"parent \"\"one\"\"\"",
        "SELECT rowid, * FROM child",
        "SELECT * FROM wr",
        "SELECT * FROM log",
        "SELECT * FROM v",
    ]
    .iter()
    .flat_map(|query| ask(connection, query))
    .collect()
}

#[test]
fn without_adapt_it_says_what_is_in_the_way_and_changes_nothing() {
    let folder = folder();
    let before = everything(&sql(&folder, "app.db", NASTY));
    let file = bytes(&folder.path().join("app.db"));
    let run = rejoin(&folder, &["track", "app.db"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(bytes(&folder.path().join("app.db")), file);
    for line in [
        "parent \"one\": can be tracked with --adapt",
        "  AUTOINCREMENT: removed",
        "  UNIQUE (na me): becomes the plain index",
        "  NOT NULL without a default, which becomes: na me ''",
        "  price is NOT NULL without a default: may be NULL from now on, since an empty default would violate a CHECK",
        "  label is NOT NULL without a default: NOT NULL removed; its value is computed",
        "  foreign key (p) → parent \"one\" ON UPDATE SET NULL ON DELETE CASCADE",
        "  unique index child, when: becomes a plain index",
        "  key column b is not declared NOT NULL: gets NOT NULL",
        "  note: trigger t1 fires for merged rows too",
        "  note: trigger t4 uses ON CONFLICT",
    ] {
        assert!(run.out.contains(line), "{line} in:\n{}", run.out);
    }
    assert!(run.err.contains("nothing was changed"), "{}", run.err);

    let report = rejoin(&folder, &["track", "--json", "app.db", "LOG"]).json();
    assert_eq!(report["done"], false);
    assert_eq!(report["tables"][0]["table"], "log");
    assert_eq!(report["tables"][0]["obstacles"][0]["kind"], "nullable_key");
    assert_eq!(everything(&sql(&folder, "app.db", "")), before);
}

#[test]
fn adapt_keeps_rows_indexes_views_and_triggers_of_a_nasty_schema() {
    let folder = folder();
    let before = everything(&sql(&folder, "app.db", NASTY));
    let run = rejoin(&folder, &["track", "--adapt", "--json", "app.db"]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.out, run.err);
    let report = run.json();
    assert_eq!(report["kept"], "app.db.before-track");
    assert_eq!(report["orphans"], json!([{"table": "child", "parent": "parent \"one\"", "rows": 2}]));

    let after = sql(&folder, "app.db", "");
    assert_eq!(everything(&after), before);
    assert_eq!(ask(&after, "PRAGMA journal_mode"), ["wal"]);
    assert_eq!(ask(&after, "PRAGMA integrity_check"), ["ok"]);
    let text = |name: &str| ask(&after, &format!("SELECT sql FROM sqlite_schema WHERE name = '{name}'")).concat();
    assert_eq!(
        text("parent \"one\""),
        r#"CREATE TABLE "parent ""one""" ( -- the ( first
  [id no] INTEGER CONSTRAINT "pk, really" PRIMARY KEY NOT NULL,
  `na me` VARCHAR(20, 2) NOT NULL DEFAULT '' COLLATE NOCASE,
  'quoted' TEXT DEFAULT 'it''s, (default)' NOT NULL CHECK ("quoted" <> ')'),
  price NUMERIC(10,2) CONSTRAINT positive CHECK (price > 0),
  qty INT NOT NULL DEFAULT (1 + 2),
  total AS (price * qty) STORED,
  label TEXT GENERATED ALWAYS AS ("na me" || '!') VIRTUAL,
  CONSTRAINT odd CHECK ("parent ""one""".qty >= 0)
)"#
    );
    assert_eq!(
        text("child"),
        "CREATE TABLE child(\n  a TEXT NOT NULL, b INTEGER NULL NOT NULL, \"when\" DATETIME NOT NULL DEFAULT '', note,\n  \
         p INTEGER NOT NULL DEFAULT 0,\n  PRIMARY KEY (b, a) ON CONFLICT REPLACE -- no comma before this\n)"
    );
    assert_eq!(
        text("wr"),
        "CREATE TABLE wr(x BLOB, y REAL NOT NULL DEFAULT 0.0, z ANY NOT NULL DEFAULT x'00', PRIMARY KEY(x DESC)) WITHOUT ROWID, STRICT"
    );
    assert_eq!(
        text("child, when"),
        "CREATE INDEX \"child, when\" ON child(\"when\" DESC, lower(note)) WHERE note IS NOT NULL"
    );
    assert_eq!(text("plain"), "CREATE INDEX plain ON child(p)");
    assert_eq!(text("child_note_idx"), "CREATE INDEX \"child_note_idx\" ON \"child\" (\"note\" COLLATE \"BINARY\")");
    assert_eq!(
        text("parent \"one\"_price_na me_idx"),
        "CREATE INDEX \"parent \"\"one\"\"_price_na me_idx\" ON \"parent \"\"one\"\"\" (\"price\" COLLATE \"BINARY\", \"na me\" COLLATE \"BINARY\" DESC)"
    );
    assert_eq!(
        ask(&after, "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE '%crsql%' ORDER BY 1"),
        ["t1", "t2", "t3", "t4"]
    );
    assert_eq!(ask(&after, "SELECT name FROM sqlite_schema WHERE type = 'view'"), ["v"]);
    // The rowid alias is still one, and every table replicates.
    assert_eq!(ask(&after, "SELECT rowid FROM \"parent \"\"one\"\"\" WHERE [id no] = 5"), ["5"]);
    assert_eq!(
        ask(&after, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%\\_\\_crsql\\_itrig' ESCAPE '\\'"),
        ["4"]
    );
    // The file as it was.
    let kept = sql(&folder, "app.db.before-track", "");
    assert_eq!(everything(&kept), before);
    assert_eq!(ask(&kept, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%crsql%'"), ["0"]);
}

#[test]
fn tracking_again_says_so_and_changes_nothing() {
    let folder = folder();
    sql(&folder, "app.db", "CREATE TABLE t(k INTEGER PRIMARY KEY NOT NULL, v)");
    assert_eq!(rejoin(&folder, &["track", "app.db"]).code, Some(0));
    let file = bytes(&folder.path().join("app.db"));
    let run = rejoin(&folder, &["track", "--adapt", "app.db"]);
    assert_eq!(run.code, Some(0));
    assert!(run.out.contains("t: is tracked already"), "{}", run.out);
    assert!(!folder.path().join("app.db.before-track").exists());
    assert_eq!(bytes(&folder.path().join("app.db")), file);
}

#[test]
fn an_error_in_the_middle_leaves_everything_as_it_was() {
    let folder = folder();
    // The second table holds a row that its own CHECK refuses, so that making it anew fails after the first has been.
    let open = sql(
        &folder,
        "app.db",
        "CREATE TABLE first(k INTEGER PRIMARY KEY, v TEXT UNIQUE); INSERT INTO first VALUES (1, 'a');
         CREATE TABLE second(k INTEGER PRIMARY KEY, v INT CHECK (v > 0));
         PRAGMA ignore_check_constraints = ON; INSERT INTO second VALUES (1, -1)",
    );
    let schema = ask(&open, "SELECT name, sql FROM sqlite_schema");
    drop(open);
    let file = bytes(&folder.path().join("app.db"));
    let run = rejoin(&folder, &["track", "--adapt", "app.db"]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("CHECK constraint failed"), "{}", run.err);
    assert!(!folder.path().join("app.db.before-track").exists());
    assert_eq!(ask(&sql(&folder, "app.db", ""), "SELECT name, sql FROM sqlite_schema"), schema);
    assert_eq!(bytes(&folder.path().join("app.db")), file);
}

#[test]
fn what_adapt_cannot_clear_is_refused_in_words() {
    let folder = folder();
    let many: Vec<String> = (0..64).map(|at| format!("c{at}")).collect();
    sql(
        &folder,
        "app.db",
        &format!(
            "CREATE TABLE no_key(a); CREATE TABLE nulls(a TEXT PRIMARY KEY); INSERT INTO nulls VALUES (NULL), ('x');
             CREATE TABLE wide({}, PRIMARY KEY (c0)); CREATE TABLE reserved(k INTEGER PRIMARY KEY NOT NULL, \"-1\");
             CREATE TABLE word(k INTEGER PRIMARY KEY NOT NULL, autoincrements); CREATE VIEW v AS SELECT 1;
             CREATE VIRTUAL TABLE f USING fts5(text)",
            many.join(",")
        ),
    );
    let file = bytes(&folder.path().join("app.db"));
    for (table, says) in [
        ("no_key", "no primary key"),
        ("nulls", "1 row has NULL in key column a"),
        ("wide", "64 columns, 63 is the most"),
        ("reserved", "a column named -1"),
        ("word", "the word autoincrement"),
    ] {
        let run = rejoin(&folder, &["track", "--adapt", "app.db", table]);
        assert_eq!(run.code, Some(1), "{table}");
        assert!(run.out.contains(says), "{table}: {}", run.out);
        assert!(run.err.contains("--adapt cannot clear all of this"), "{}", run.err);
    }
    for (name, says) in [
        ("v", "v is a view"),
        ("f", "f is a virtual table"),
        ("f_data", "f_data belongs to a virtual table"),
        ("nope", "there is no table nope"),
        ("sqlite_schema", "internal"),
    ] {
        let run = rejoin(&folder, &["track", "--adapt", "app.db", name]);
        assert_eq!(run.code, Some(1), "{name}");
        assert!(run.err.contains(says), "{name}: {}", run.err);
    }
    assert_eq!(bytes(&folder.path().join("app.db")), file);
}

#[test]
fn an_earlier_copy_is_never_overwritten() {
    let folder = folder();
    sql(&folder, "app.db", "CREATE TABLE t(k TEXT PRIMARY KEY)");
    std::fs::write(folder.path().join("app.db.before-track"), "precious").expect("a file");
    let report = rejoin(&folder, &["track", "--adapt", "--json", "app.db"]).json();
    assert_eq!(report["kept"], "app.db.before-track-2");
    assert_eq!(bytes(&folder.path().join("app.db.before-track")), b"precious");
    assert_eq!(
        ask(&sql(&folder, "app.db.before-track-2", ""), "SELECT name FROM sqlite_schema WHERE type = 'table'"),
        ["t"]
    );
}

#[test]
fn untracked_tables_are_ordinary_again() {
    let folder = folder();
    sql(
        &folder,
        "app.db",
        "CREATE TABLE t(k INTEGER PRIMARY KEY NOT NULL, v); CREATE TABLE u(k INTEGER PRIMARY KEY NOT NULL)",
    );
    assert_eq!(rejoin(&folder, &["track", "app.db"]).code, Some(0));
    let run = rejoin(&folder, &["untrack", "app.db", "t"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "t: no longer tracked\n"));
    // A program without the library can write to it.
    let open = sql(&folder, "app.db", "INSERT INTO t VALUES (1, 2)");
    assert!(open.execute_batch("INSERT INTO u VALUES (1)").is_err());
    assert_eq!(rejoin(&folder, &["untrack", "app.db", "t"]).out, "t: was not tracked\n");
    let rest = rejoin(&folder, &["untrack", "--json", "app.db"]).json();
    assert_eq!(rest, json!({"untracked": ["u"], "were_not_tracked": []}));
}

#[test]
fn a_file_that_another_program_writes_is_waited_for_and_then_refused_in_words() {
    let folder = folder();
    let open = sql(&folder, "app.db", "CREATE TABLE t(k TEXT PRIMARY KEY)");
    open.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let run = rejoin(&folder, &["track", "--adapt", "app.db"]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("is another program writing to the file?"), "{}", run.err);
    assert!(!folder.path().join("app.db.before-track").exists());
}

#[test]
fn foreign_keys_that_never_worked_are_no_hindrance() {
    let folder = folder();
    sql(
        &folder,
        "app.db",
        "PRAGMA foreign_keys = OFF; CREATE TABLE parent(id INTEGER PRIMARY KEY NOT NULL, name TEXT);
         CREATE TABLE no_key(id INTEGER PRIMARY KEY NOT NULL, name TEXT REFERENCES parent(name));
         CREATE TABLE no_parent(id INTEGER PRIMARY KEY NOT NULL, x REFERENCES gone(x));
         INSERT INTO no_key VALUES (1, 'a'); INSERT INTO no_parent VALUES (1, 1)",
    );
    let report = rejoin(&folder, &["track", "--adapt", "--json", "app.db"]).json();
    assert_eq!(report["done"], true);
    assert_eq!(report["orphans"], json!([{"table": "no_parent", "parent": "gone", "rows": 1}]));
    let note = report["tables"][1]["notes"][0].as_str().expect("a note");
    assert!(note.contains("could not be checked: foreign key mismatch"), "{note}");
}
