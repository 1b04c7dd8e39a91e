"""One connection for one request: opens the database, loads the libraries, runs the statements, closes.

Request (JSON, stdin):  {"database", "libraries": [[path, entry point], ...], "keep_going",
                         "statements": [{"sql", "parameters": [...]}, ...]}
Answer (JSON, stdout):  [{"rows": [[...], ...]} or {"error": text}, ...], one for each statement that was run.
Runs after values.py, which says how values are written.
"""

import json
import sqlite3
import sys


def main():
    request = json.load(sys.stdin)
    connection = sqlite3.connect(request["database"], isolation_level=None, timeout=10)
    connection.enable_load_extension(True)
    answers = []
    try:
        for path, entry in request["libraries"]:
            if entry:
                connection.execute("SELECT load_extension(?, ?)", (path, entry)).fetchall()
            else:
                connection.load_extension(path)
        for statement in request["statements"]:
            try:
                parameters = [decode(value) for value in statement["parameters"]]
                rows = connection.execute(statement["sql"], parameters).fetchall()
                answers.append({"rows": [[encode(value) for value in row] for row in rows]})
            except sqlite3.Error as error:
                answers.append({"error": str(error)})
                if not request["keep_going"]:
                    break
        if any(entry for _, entry in request["libraries"]):
            connection.execute("SELECT crsql_finalize()").fetchall()
    except sqlite3.Error as error:
        answers.append({"error": str(error)})
    connection.close()
    json.dump(answers, sys.stdout)


main()
