"""One step of moving a large transaction in a process of its own; prints how far the process grew, in KiB.

sys.argv: the folder, the libraries, the step, and for `write` the statement that makes the transaction.
"""

folder, step = sys.argv[1], sys.argv[3]


def open_database(name):
    database = connect(name)
    for setting in ("journal_mode = wal", "synchronous = off", "cache_size = -2048"):
        database.execute(f"PRAGMA {setting}").fetchall()
    return database


def resident(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{field}:"))


def growth():
    return resident("VmHWM") - idle


def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


if step == "write":
    open_database("a.db").execute(sys.argv[4])
elif step == "send":
    database = open_database("a.db")
    database.execute("SELECT crsql_pending('out_to_b')").fetchall()
    idle = resident("VmRSS")
    forget_peak()
    with open(f"{folder}/packages", "wb") as packages:
        while (package := database.execute("SELECT crsql_next('out_to_b')").fetchone()[0]) is not None:
            packages.write(len(package).to_bytes(8, "big") + package)
    print(growth())
elif step == "receive":
    database = open_database("b.db")
    database.execute("SELECT receipt FROM in_from_a").fetchall()
    idle = resident("VmRSS")
    forget_peak()
    arriving = 0
    with open(f"{folder}/packages", "rb") as packages:
        length = packages.read(8)
        while length:
            package = packages.read(int.from_bytes(length, "big"))
            length = packages.read(8)
            if not length:
                # The last one is merged with everything that waits for it.
                arriving = growth()
                forget_peak()
            receipt = database.execute("SELECT crsql_apply('in_from_a', ?)", (package,)).fetchone()[0]
    print(arriving)
    print(growth())
    with open(f"{folder}/receipt", "w") as file:
        file.write(receipt)
