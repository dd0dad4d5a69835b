"""How long until a partition is decided again: `python -m tests.chaos.recovery`, which writes docs/recovery.md.

failover     SIGKILL of a worker inside a transaction until another decides on its partitions
restore      a worker with an empty store, and a changelog with a million rows
page         docs/recovery.md and the lines on the terminal
"""
