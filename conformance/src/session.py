"""Connections that stay open, driven over lines of JSON. Runs after values.py.

    python3 -c ... LIBRARIES         LIBRARIES is JSON: [[path, entry point], ...]

Requests:  {"op": "open", "connection", "database", "site_id"}    the id is given to a new file only
           {"op": "run", "connection", "statements": [[sql, [parameters]], ...]}
           {"op": "close", "connection"}
           {"op": "forget", "database"}                           deletes a file that no connection has open
           {"op": "export" or "import", "database", "path"}       copies the file to or from that path
Answers:   {}, {"answers": [{"rows"} or {"error"}, ...], "in_transaction"} to "run", or {"failed": text}
"""

import json
import os
import shutil
import sqlite3
import sys
import traceback

connections = {}


def connect(database):
    connection = sqlite3.connect(database, isolation_level=None, timeout=0, cached_statements=512)
    connection.execute("PRAGMA synchronous = OFF").fetchall()
    connection.enable_load_extension(True)
    for path, entry in json.loads(sys.argv[1]):
        if entry:
            connection.execute("SELECT load_extension(?, ?)", (path, entry)).fetchall()
        else:
            connection.load_extension(path)
    return connection


def disconnect(connection):
    connection.execute("SELECT crsql_finalize()").fetchall()
    connection.close()


def run(connection, sql, parameters):
    try:
        rows = connection.execute(sql, [decode(value) for value in parameters]).fetchall()
        return {"rows": [[encode(value) for value in row] for row in rows]}
    except sqlite3.Error as error:
        return {"error": str(error)}


def handle(request):
    op = request["op"]
    if op == "open":
        database = request["database"]
        is_new = not os.path.exists(database)
        connection = connect(database)
        if is_new and request.get("site_id"):
            # A connection of the original remembers the id with which it was opened.
            site_id = bytes.fromhex(request["site_id"])
            connection.execute("UPDATE crsql_site_id SET site_id = ? WHERE ordinal = 0", (site_id,)).fetchall()
            disconnect(connection)
            connection = connect(database)
        connections[request["connection"]] = connection
    elif op == "run":
        connection = connections[request["connection"]]
        answers = [run(connection, sql, parameters) for sql, parameters in request["statements"]]
        return {"answers": answers, "in_transaction": connection.in_transaction}
    elif op == "close":
        disconnect(connections.pop(request["connection"]))
    elif op == "forget":
        os.remove(request["database"])
    elif op == "export":
        shutil.copyfile(request["database"], request["path"])
    elif op == "import":
        shutil.copyfile(request["path"], request["database"])
    else:
        raise ValueError("unknown op " + op)
    return {}


for line in sys.stdin:
    try:
        answer = handle(json.loads(line))
    except Exception:
        answer = {"failed": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
