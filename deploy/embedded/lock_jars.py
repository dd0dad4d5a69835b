"""`python -m deploy.embedded.lock_jars`: pin the jars of the broker version named in `kafka.py`."""

from __future__ import annotations

from deploy.embedded.jars import write_lock
from deploy.embedded.kafka import ROOT_JARS

if __name__ == "__main__":
    write_lock(ROOT_JARS)
