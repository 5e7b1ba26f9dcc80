"""What the drivers around real Spark share: the demo, the benchmarks, Spark's own suites and the oracle.

lines.py    Spark's lines: class paths from Maven, our Java programs built against each, the command line of a JVM
server.py   one `overhand standalone` process, with the addresses that it chose
"""
