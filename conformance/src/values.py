"""SQLite's values as JSON: null, {"i": decimal}, {"r": 16 hex digits}, {"t": text}, {"b": hex digits}."""

import struct


def decode(value):
    if value is None:
        return None
    (kind, text), = value.items()
    if kind == "i":
        return int(text)
    if kind == "r":
        return struct.unpack(">d", bytes.fromhex(text))[0]
    return bytes.fromhex(text) if kind == "b" else text


def encode(value):
    if value is None:
        return None
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"r": struct.pack(">d", value).hex()}
    return {"b": value.hex()} if isinstance(value, bytes) else {"t": value}
