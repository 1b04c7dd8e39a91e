//! The same work under every setting that a host may have chosen: tracking, local writes of every kind, both streams, an
//! alteration. What is recorded and where the copies end is the same as with SQLite's defaults.

use rejoin_conformance::{Engine, Host, Peer, Settings};

/// Does the work on two connections that were opened and set by `open(name)`, and says what came of it.
const WORK: &str = "
def track(c):
    c.execute('CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY NOT NULL, title TEXT, body)')
    c.execute('CREATE TABLE IF NOT EXISTS pair (x TEXT NOT NULL, y NOT NULL, PRIMARY KEY (x, y)) WITHOUT ROWID')
    for table in ('note', 'pair'):
        c.execute('SELECT crsql_as_crr(?)', (table,)).fetchall()

def streams(c, other):
    remote = other.execute('SELECT hex(crsql_site_id())').fetchone()[0]
    for direction in ('outbound', 'inbound'):
        c.execute(f\"CREATE VIRTUAL TABLE {direction} USING crsql_{direction}_stream(remote = '{remote}')\")

def carry(source, target):
    for (package,) in source.execute('SELECT package FROM outbound').fetchall():
        receipt = target.execute(\"SELECT crsql_apply('inbound', ?)\", (package,)).fetchone()[0]
        source.execute(\"SELECT crsql_ack('outbound', ?)\", (receipt,)).fetchall()

def level(a, b):
    for turn in range(2):
        carry(a, b)
        carry(b, a)
    assert a.execute(\"SELECT crsql_pending('outbound')\").fetchone()[0] == 0

def work(a, b, between=lambda c: None):
    for c, other in ((a, b), (b, a)):
        track(c)
    for c, other in ((a, b), (b, a)):
        streams(c, other)
    for c in (a, b):
        between(c)
    a.execute(\"INSERT INTO note VALUES (1, 'é', x'00ff'), (2, 'two', 2.5), (3, NULL, '')\")
    a.execute(\"INSERT INTO pair VALUES ('日本', 1), ('', x''), ('a' || char(0) || 'b', 'nul')\")
    level(a, b)
    a.execute(\"UPDATE note SET title = 'from a' WHERE id = 1\")
    b.execute(\"UPDATE note SET title = 'from b', body = 'also from b' WHERE id = 1\")
    b.execute('BEGIN')
    b.execute('DELETE FROM note WHERE id = 2')
    b.execute('SAVEPOINT s')
    b.execute(\"INSERT INTO note VALUES (9, 'not to be', 0)\")
    b.execute('ROLLBACK TO s')
    b.execute(\"INSERT OR REPLACE INTO note VALUES (3, 'replaced', 3)\")
    b.execute('COMMIT')
    a.execute('UPDATE note SET id = 7 WHERE id = 3')
    a.execute(\"DELETE FROM pair WHERE x = ''\")
    level(a, b)
    for c in (a, b):
        c.execute(\"SELECT crsql_begin_alter('note')\").fetchall()
        c.execute(\"ALTER TABLE note ADD COLUMN more DEFAULT 'd'\")
        c.execute(\"SELECT crsql_commit_alter('note')\").fetchall()
    a.execute(\"UPDATE note SET more = 'set' WHERE id = 1\")
    level(a, b)
    rows = [sorted(map(repr, c.execute('SELECT * FROM note').fetchall() + c.execute('SELECT * FROM pair').fetchall())) for c in (a, b)]
    assert rows[0] == rows[1], rows
    own = [c.execute('SELECT crsql_site_id()').fetchone()[0] for c in (a, b)]
    told = 'SELECT [table], hex(pk), cid, val, col_version, db_version, site_id, cl, seq FROM crsql_changes ORDER BY db_version, seq'
    told = [[row[:6] + (own.index(row[6]),) + row[7:] for row in c.execute(told)] for c in (a, b)]
    assert a.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    return rows, told

def opened(name, *settings, **options):
    c = sqlite3.connect(f'{sys.argv[1]}/{name}' if not options.get('uri') else name, isolation_level=None, timeout=10, **options)
    for setting in settings:
        c.execute(f'PRAGMA {setting}').fetchall()
    return load(c)

def load(c):
    c.enable_load_extension(True)
    for library, entry in json.loads(sys.argv[2]):
        c.load_extension(library)
    return c

expected = work(opened('plain a'), opened('plain b'))
";

/// Runs a script behind [`WORK`]; its last line must be `same`.
fn ends_the_same(script: &str) {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peer = Peer::new(&settings, folder.path(), "a", Host::Python, Engine::BuiltIn);
    assert_eq!(peer.script(&format!("{WORK}\n{script}\nprint('same')")), ["same"]);
}

/// Each setting, on both copies, before the library is loaded.
fn is_the_same_with(settings: &[&[&str]]) {
    let settings: Vec<String> = settings.iter().map(|pragmas| format!("({},)", quoted(pragmas))).collect();
    ends_the_same(&format!(
        "
for number, pragmas in enumerate([{}]):
    a, b = opened(f'a{{number}}', *pragmas), opened(f'b{{number}}', *pragmas)
    assert work(a, b) == expected, pragmas
    for pragma in pragmas:
        name, _, value = pragma.partition(' = ')
        assert str(a.execute(f'PRAGMA {{name}}').fetchone()[0]).lower() == value, pragma
    a.close()
    b.close()",
        settings.join(", ")
    ));
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}

#[test]
fn in_every_journal_mode() {
    // Not "off": SQLite itself cannot roll back then.
    let modes = ["wal", "delete", "truncate", "persist", "memory"].map(|mode| format!("journal_mode = {mode}"));
    let modes: Vec<[&str; 1]> = modes.iter().map(|mode| [mode.as_str()]).collect();
    is_the_same_with(&modes.iter().map(<[&str; 1]>::as_slice).collect::<Vec<_>>());
}

#[test]
fn with_an_exclusive_lock() {
    is_the_same_with(&[
        &["locking_mode = exclusive"],
        &["locking_mode = exclusive", "journal_mode = wal"],
        &["locking_mode = exclusive", "journal_mode = truncate", "synchronous = 0"],
    ]);
}

#[test]
fn with_temporary_files_anywhere_and_little_memory() {
    is_the_same_with(&[
        &["temp_store = 0"],
        &["temp_store = 1"],
        &["temp_store = 2"],
        &["temp_store = 1", "cache_size = 1"],
        &["mmap_size = 1048576"],
    ]);
}

#[test]
fn with_every_layout_of_the_file() {
    is_the_same_with(&[
        &["page_size = 512"],
        &["page_size = 65536"],
        &["auto_vacuum = 1"],
        &["page_size = 1024", "auto_vacuum = 2"],
        &["secure_delete = 1", "cell_size_check = 1"],
    ]);
}

#[test]
fn with_stricter_and_laxer_rules() {
    is_the_same_with(&[
        &["foreign_keys = 1"],
        &["trusted_schema = 0"],
        &["ignore_check_constraints = 1"],
        &["legacy_alter_table = 1"],
        &["automatic_index = 0", "read_uncommitted = 1"],
        &["reverse_unordered_selects = 1"],
        &["full_column_names = 1", "short_column_names = 0", "count_changes = 1"],
    ]);
    ends_the_same(
        "
a, b = opened('a', 'case_sensitive_like = 1'), opened('b', 'case_sensitive_like = 1')
assert work(a, b) == expected",
    );
}

/// REPLACE is then a delete and an insert, and is recorded so: the replaced row begins a new life, which wins over the
/// other copy's change of its key.
#[test]
fn with_recursive_triggers_a_replaced_row_begins_a_new_life() {
    ends_the_same(
        "
a, b = opened('a', 'recursive_triggers = 1'), opened('b', 'recursive_triggers = 1')
work(a, b)
assert a.execute('SELECT title FROM note WHERE id = 3').fetchall() == [('replaced',)]
assert a.execute(\"SELECT cl FROM crsql_changes WHERE pk = x'010903' AND cid = '-1'\").fetchall() == [(3,)]",
    );
}

/// SQLite keeps text in UTF-16 then and hands it over in UTF-8: keys, names and values are told and compared as such.
#[test]
fn with_text_in_utf_16() {
    ends_the_same(
        "
for number, (one, other) in enumerate((('UTF-16', 'UTF-16'), ('UTF-16le', 'UTF-8'), ('UTF-8', 'UTF-16be'), ('UTF-16be', 'UTF-16le'))):
    assert work(opened(f'a{number}', f\"encoding = '{one}'\"), opened(f'b{number}', f\"encoding = '{other}'\")) == expected",
    );
}

#[test]
fn in_memory_and_in_a_shared_cache() {
    ends_the_same(
        "
for a, b in (
    ('file::memory:', 'file::memory:'),
    ('file:a?mode=memory', 'file:b?mode=memory'),
    ('file:one?mode=memory&cache=shared', 'file:two?mode=memory&cache=shared'),
    (f'file:{sys.argv[1]}/a?cache=shared', f'file:{sys.argv[1]}/b?cache=shared'),
):
    assert work(opened(a, uri=True), opened(b, uri=True)) == expected, a",
    );
}

#[test]
fn beside_attached_databases_and_temporary_tables_of_the_same_names() {
    ends_the_same(
        "
def crowd(c):
    names = [name for (name,) in c.execute(\"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'\")]
    assert len(names) > 10, names
    c.execute(\"ATTACH ':memory:' AS note\")
    c.execute(\"ATTACH ':memory:' AS crsql_changes\")
    for name in names:
        for schema in ('note', 'crsql_changes') + (('temp',) if name not in ('note', 'pair', 'outbound', 'inbound') else ()):
            c.execute(f'CREATE TABLE {schema}.\"{name}\" (x)')

assert work(opened('a'), opened('b'), crowd) == expected",
    );
}

/// A file that is prepared can be read with its streams; what would write is refused. Another one is refused at once.
#[test]
fn with_a_file_that_can_only_be_read() {
    ends_the_same(
        "
a, b = opened('a'), opened('b')
work(a, b)
a.execute(\"INSERT INTO note (id, title) VALUES (50, 'news')\")
b.execute(\"INSERT INTO note (id, title) VALUES (51, 'other news')\")
from_b = b.execute('SELECT package FROM outbound').fetchone()[0]
a.close()
for options in ('mode=ro', 'immutable=1'):
    c = opened(f'file:{sys.argv[1]}/a?{options}', uri=True)
    assert c.execute('SELECT count(*) FROM crsql_changes').fetchone()[0] > 10
    assert c.execute('SELECT direction, behind FROM crsql_streams ORDER BY 1').fetchall()[1][0] == 'outbound'
    assert c.execute(\"SELECT crsql_pending('outbound')\").fetchone()[0] == 1
    for sql, value in (
        (\"SELECT crsql_apply('inbound', ?)\", from_b),
        ('INSERT INTO inbound(package) VALUES (?)', from_b),
        ('SELECT crsql_reidentify() OR ?', 0),
        ('INSERT INTO note (id, title) VALUES (60, ?)', 'refused'),
    ):
        refused = answer(c, sql, value)
        assert refused.startswith('error: ') and ('readonly' in refused or 'read-only' in refused), refused
    c.close()
sqlite3.connect(f'{sys.argv[1]}/plain').execute('CREATE TABLE t (a)').connection.close()
for options in ('mode=ro', 'immutable=1'):
    try:
        opened(f'file:{sys.argv[1]}/plain?{options}', uri=True)
        assert False, 'it loads'
    except sqlite3.OperationalError as error:
        assert 'read-only' in str(error) and 'open it once for writing' in str(error), error",
    );
}

#[test]
fn with_query_only_streams_are_read_and_not_moved() {
    ends_the_same(
        "
a, b = opened('a'), opened('b')
work(a, b)
a.execute(\"INSERT INTO note (id, title) VALUES (50, 'news')\")
package = a.execute('SELECT package FROM outbound').fetchone()[0]
b.execute('PRAGMA query_only = 1')
for sql in (\"SELECT crsql_apply('inbound', ?)\", 'INSERT INTO inbound(package) VALUES (?)'):
    assert 'readonly' in answer(b, sql, package), answer(b, sql, package)
assert answer(b, 'SELECT count(*) FROM crsql_streams') == '2'
b.execute('PRAGMA query_only = 0')
level(a, b)
assert b.execute('SELECT title FROM note WHERE id = 50').fetchone() == ('news',)",
    );
}

/// An interruption or a full disk anywhere in reading, applying and acknowledging: an error, nothing half done, and the next
/// try goes on.
#[test]
fn with_interruptions_and_full_disks_in_the_middle() {
    ends_the_same(
        "
def state(c):
    tables = [name for (name,) in c.execute(\"SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' AND name <> 'crsql_streams_inbound'\")]
    # Why a package was refused is noted; where the stream stands is the same.
    return [sorted(map(repr, c.execute(f'SELECT * FROM \"{name}\"'))) for name in tables], answer(c, 'SELECT last_seen FROM inbound')

def interrupted(c, n):
    left = [n]
    def handler():
        left[0] -= 1
        return left[0] < 0
    c.set_progress_handler(handler, 15)

def calmed(c):
    c.set_progress_handler(None, 0)
    c.execute('PRAGMA max_page_count = 2147483646').fetchall()

def full(c, n):
    pages = c.execute('PRAGMA page_count').fetchone()[0]
    c.execute(f'PRAGMA max_page_count = {pages + n}').fetchall()

def until_done(c, disturb, word, call, notes_what_it_gave=False):
    n = failures = 0
    while True:
        before = state(c)
        disturb(c, n)
        outcome = answer(c, *call)
        calmed(c)
        assert not c.in_transaction
        if not outcome.startswith('error: '):
            return failures
        assert word in outcome, outcome
        assert notes_what_it_gave or state(c) == before, (call[0], n, outcome)
        failures += 1
        n += 1 + n // 3

total = 0
for number, (disturb, word) in enumerate(((interrupted, 'interrupted'), (full, 'full'))):
    a, b = opened(f'a{number}', 'page_size = 512', 'synchronous = 0'), opened(f'b{number}', 'page_size = 512', 'synchronous = 0')
    work(a, b)
    a.executemany('INSERT INTO note (id, title, body) VALUES (?, ?, zeroblob(300))', ((i, f'title {i}') for i in range(100, 140)))
    a.execute('DELETE FROM note WHERE id > 130')
    total += until_done(a, disturb, word, ('SELECT count(package) FROM outbound',), True)
    for (package,) in a.execute('SELECT package FROM outbound').fetchall():
        total += until_done(b, disturb, word, (\"SELECT crsql_apply('inbound', ?)\", package))
        total += until_done(b, disturb, word, ('SELECT receipt FROM inbound',))
        receipt = b.execute('SELECT receipt FROM inbound').fetchone()[0]
        total += until_done(a, disturb, word, (\"SELECT crsql_ack('outbound', ?)\", receipt))
    assert a.execute(\"SELECT crsql_pending('outbound')\").fetchone()[0] == 0
    assert a.execute('SELECT * FROM note ORDER BY id').fetchall() == b.execute('SELECT * FROM note ORDER BY id').fetchall()
assert total > 30, total",
    );
}

#[test]
fn while_others_read_and_write_the_same_file() {
    ends_the_same(
        "
a, b = opened('a', 'journal_mode = wal'), opened('b', 'journal_mode = wal')
work(a, b)
a.execute(\"INSERT INTO note (id, title) VALUES (50, 'news')\")
package = a.execute('SELECT package FROM outbound').fetchone()[0]
reader, writer = opened('b'), sqlite3.connect(f'{sys.argv[1]}/b', isolation_level=None)
reader.execute('BEGIN')
count = 'SELECT count(*) FROM crsql_changes'
seen = reader.execute(count).fetchone()[0]
# A writer that has not ended is waited for, and then named.
b.execute('PRAGMA busy_timeout = 50').fetchall()
writer.execute('BEGIN IMMEDIATE')
assert 'locked' in answer(b, \"SELECT crsql_apply('inbound', ?)\", package)
assert not b.in_transaction
writer.execute('COMMIT')
receipt = b.execute(\"SELECT crsql_apply('inbound', ?)\", (package,)).fetchone()[0]
assert reader.execute(count).fetchone()[0] == seen
reader.execute('COMMIT')
assert reader.execute(count).fetchone()[0] > seen
# The other connection's stream goes on where this one is.
assert reader.execute('SELECT receipt FROM inbound').fetchone()[0] == receipt
assert a.execute(\"SELECT crsql_ack('outbound', ?)\", (receipt,)).fetchone()[0] == 1
level(a, b)",
    );
}
