"""What a test's script finds: connections with the libraries under test.

sys.argv: the folder of the files, the libraries as JSON [[path, entry point], ...].
"""

import json
import sqlite3
import sys


def connect(name, **options):
    """A connection to a file of the folder; `uri=True` takes the name as it is."""
    path = name if name == ":memory:" or options.get("uri") else f"{sys.argv[1]}/{name}"
    connection = sqlite3.connect(path, isolation_level=None, **{"timeout": 10, **options})
    connection.enable_load_extension(True)
    for library, entry in json.loads(sys.argv[2]):
        if entry:
            connection.execute("SELECT load_extension(?, ?)", (library, entry)).fetchall()
        else:
            connection.load_extension(library)
    return connection


def answer(connection, sql, *values):
    """The rows as the shell shows them, or the error in words."""
    try:
        rows = connection.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        return f"error: {error}"
    return "; ".join("|".join("NULL" if value is None else str(value) for value in row) for row in rows)
