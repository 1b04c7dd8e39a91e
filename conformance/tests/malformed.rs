//! Every function of the library with arguments of every kind and count: nothing crashes, an error undoes no more than the
//! call, and nothing stays behind.

use rejoin_conformance::{Engine, Host, Peer, Settings};

const SWEEP: &str = r#"
import itertools, math
values = [None, 0, -1, 2**63 - 1, -2**63, 1.5, math.inf, math.nan, '', 'foo', 'nope', 'o\'x"y', 'a\0b', 'o', 'i', b'', b'\x01\x09\x01', b'\xff' * 40]
fewer = [None, -1, 'foo', '', b'\xff' * 16, 2**63 - 1]
STATE = '''SELECT 'f', a, b, '' FROM foo UNION ALL SELECT 'c', key || col_name, col_version, db_version || ' ' || seq FROM foo__crsql_clock
    UNION ALL SELECT 's', name, sql, '' FROM sqlite_master UNION ALL SELECT 'm', key, value, '' FROM crsql_master
    UNION ALL SELECT 'i', ordinal, hex(site_id), '' FROM crsql_site_id ORDER BY 1, 2'''

def fresh():
    c = connect(':memory:')
    c.execute('CREATE TABLE foo (a INTEGER PRIMARY KEY NOT NULL, b)')
    c.execute("SELECT crsql_as_crr('foo')").fetchall()
    c.execute("CREATE VIRTUAL TABLE o USING crsql_outbound_stream(remote = '00112233445566778899aabbccddeeff')")
    c.execute("CREATE VIRTUAL TABLE i USING crsql_inbound_stream(remote = '00112233445566778899aabbccddeeff')")
    c.execute('INSERT INTO foo VALUES (1, 1)')
    # The first read marks the tables that it reads.
    c.execute("SELECT crsql_next('o')").fetchall()
    return c

def state(c):
    return c.execute(STATE).fetchall(), c.execute('SELECT crsql_internal_sync_bit()').fetchone()[0]

def attempt(c, sql, arguments):
    try:
        c.execute(sql, arguments).fetchall()
        return None
    except (sqlite3.Error, OverflowError) as error:
        assert 'unexpectedly' not in str(error), (sql, arguments, error)
        assert str(error).strip(), (sql, arguments)
        return error

c = fresh()
functions = c.execute("SELECT DISTINCT name, narg FROM pragma_function_list WHERE name GLOB 'crsql*'").fetchall()
assert len(functions) > 20, functions
calls = failures = 0
for name, count in functions:
    for number in (range(4) if count < 0 else [count]):
        for arguments in itertools.product(values if number < 3 else fewer, repeat=number):
            sql = f"SELECT {name}({', '.join('?' * number)})"
            before = state(c)
            c.execute('BEGIN')
            c.execute('INSERT INTO foo VALUES (2, 2)')
            inside = state(c)
            failed = attempt(c, sql, arguments)
            assert c.in_transaction, (sql, arguments, 'ended the transaction of its caller')
            if failed:
                assert state(c) == inside, (sql, arguments, failed)
                failures += 1
            if name == 'crsql_internal_sync_bit':
                c.execute('SELECT crsql_internal_sync_bit(0)').fetchall()
            c.execute('ROLLBACK')
            assert state(c) == before, (sql, arguments)
            if failed:
                attempt(c, sql, arguments)
                assert not c.in_transaction, (sql, arguments)
                assert state(c) == before, (sql, arguments)
            calls += 1
assert failures * 2 > calls > 2000, (failures, calls)
c.execute('INSERT INTO foo VALUES (2, 2)')
assert c.execute('SELECT count(*) FROM crsql_changes').fetchone()[0] == 2
c.close()
print('sound')
"#;

#[test]
fn every_function_takes_or_refuses_every_kind_and_count_of_arguments() {
    let Some(settings) = Settings::find(&[Engine::BuiltIn]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let peer = Peer::new(&settings, folder.path(), "a", Host::Python, Engine::BuiltIn);
    assert_eq!(peer.script(SWEEP), ["sound"]);
}
