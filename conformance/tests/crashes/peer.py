"""One end of a link that writes and syncs until it is killed, whatever it is doing then.

sys.argv: the folder, the libraries, the name of this end, that of the other one. Packages and receipts are files in the
folders A-to-B and B-to-A; a transaction that is committed is noted in A.written.
"""

import os
import random
import time

folder, (me, other) = sys.argv[1], sys.argv[3:5]
outbound, inbound = f"{folder}/{me}-to-{other}", f"{folder}/{other}-to-{me}"
database = connect(f"{me}.db")


def value(sql, *values):
    return database.execute(sql, values).fetchone()[0]


def put(path, data):
    """Whole, or not at all."""
    with open(f"{path}.part", "wb") as file:
        file.write(data)
    os.rename(f"{path}.part", path)


def packages(path):
    return sorted(name for name in os.listdir(path) if name.endswith(".package"))


def write():
    batch, size = f"{me}{time.time_ns()}", random.randint(*SIZES)
    database.execute("BEGIN IMMEDIATE")
    database.execute(
        """WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
        INSERT INTO item SELECT ?1 || ' ' || i, ?1, ?2, hex(randomblob(8)) FROM n""",
        (batch, size),
    )
    database.execute("UPDATE counter SET n = n + 1 WHERE id = ?", (random.randint(1, 3),))
    database.execute("COMMIT")
    with open(f"{folder}/{me}.written", "a") as file:
        file.write(f"{batch} {size}\n")


SIZES = (100, 1200)
IN_FLIGHT_MAX = 4
receipt_seen = None
put(f"{folder}/{me}.ready", str(os.getpid()).encode())
while True:
    idle = True
    for name in packages(inbound):
        with open(f"{inbound}/{name}", "rb") as file:
            receipt = value(f"SELECT crsql_apply('in_from_{other}', ?)", file.read())
        put(f"{outbound}/receipt", receipt.encode())
        os.remove(f"{inbound}/{name}")
        idle = False
    try:
        seen = os.stat(f"{inbound}/receipt")
    except FileNotFoundError:
        seen = None
    if seen and (seen.st_ino, seen.st_mtime_ns) != receipt_seen:
        receipt_seen = (seen.st_ino, seen.st_mtime_ns)
        with open(f"{inbound}/receipt", "r") as file:
            value(f"SELECT crsql_ack('out_to_{other}', ?)", file.read())
        idle = False
    waiting = len(packages(outbound))
    if waiting < IN_FLIGHT_MAX:
        package = value(f"SELECT crsql_next('out_to_{other}')")
        if package is not None:
            put(f"{outbound}/{time.time_ns()}.package", package)
            idle = False
    if idle and waiting == 0 and not os.path.exists(f"{folder}/stop"):
        write()
        idle = False
    if idle:
        time.sleep(0.001)
