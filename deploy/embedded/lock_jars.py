"""`python -m deploy.embedded.lock_jars`: pin the jars of the broker version named in `kafka.py`, and those of Kafka
Streams in the same version, with which the load test compares."""

from __future__ import annotations

from deploy.embedded.jars import LOCK, write_lock
from deploy.embedded.kafka import ROOT_JARS, VERSION
from loadtest.peers import java

STREAMS_JARS = (f"org.apache.kafka:kafka-streams:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")

if __name__ == "__main__":
    write_lock(LOCK, "The broker's", ROOT_JARS)
    write_lock(java.JARS, "Kafka Streams'", STREAMS_JARS)
