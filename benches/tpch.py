"""The data and the queries of TPC-H, both from DuckDB: made once per scale, and kept under OVERHAND_CACHE."""

import pathlib
import shutil
import subprocess
import sys
import venv

from harness import lines

# The last version whose Python package carries the generator and needs no network for it.
DUCKDB = "0.10.3"


def folder(scale):
    """The folder with a Parquet file for each table and a file qNN.sql for each query; scale 1 is a GB of rows."""
    made = lines.CACHE / "bench" / f"tpch-sf{scale:g}"
    if not made.exists():
        print(f"making TPC-H's tables at scale {scale:g} in {made}", flush=True)
        draft = made.with_name(made.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        generator = pathlib.Path(__file__).with_name("dbgen.py")
        subprocess.run([_python(), generator, draft, str(scale)], check=True)
        draft.rename(made)
    return made


def query(scale, number):
    """The file with a query's text, next to the tables."""
    return folder(scale) / f"q{number:02}.sql"


def _python():
    """A Python that has DuckDB."""
    home = lines.CACHE / "bench" / f"duckdb-{DUCKDB}"
    python = home / "bin/python"
    if not (home / "installed").exists():
        venv.create(home, clear=True, with_pip=True)
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", f"duckdb=={DUCKDB}"])
        if done.returncode != 0:
            raise SystemExit(f"DuckDB {DUCKDB} could not be installed: it has wheels for Python 3.7 to 3.12, this is "
                             f"{sys.version.split()[0]}")
        (home / "installed").touch()
    return python
