"""What the drivers around real Spark share: the demo, the benchmarks, Spark's own suites, the oracle and the kills.

lines.py      Spark's lines: class paths from Maven, our Java programs built against each, the command line of a JVM
server.py     processes of `overhand`; one `overhand standalone`, with the addresses that it chose
screen.py     what people see while Spark works
isolation.py  namespaces for a whole run, which leave nothing behind
hosts.py      machines in network namespaces, which can be cut off
disks.py      file systems that can be filled, broken and frozen
cluster.py    `overhand worker` and `overhand coordinator` processes on such machines and disks
"""
