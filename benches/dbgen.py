#!/usr/bin/env python3
"""Writes the tables of TPC-H as Parquet and the queries' texts with DuckDB, which must be importable.

  dbgen.py FOLDER SCALE
"""

import pathlib
import sys

import duckdb

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


def main():
    folder, scale = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    database = duckdb.connect()
    # The generator and the format are built in: nothing is fetched.
    database.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    database.execute(f"CALL dbgen(sf = {scale})")
    for table in TABLES:
        database.execute(f"COPY {table} TO '{folder / table}.parquet' (FORMAT parquet)")
    for number, text in database.execute("SELECT query_nr, query FROM tpch_queries()").fetchall():
        (folder / f"q{number:02}.sql").write_text(text)


if __name__ == "__main__":
    main()
