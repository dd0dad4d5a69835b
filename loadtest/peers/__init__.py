"""The same minimal authorisation job in other stream processors and in ours, measured in one run on one machine.

job.py              the job itself: what every peer has to do with a request
stage.py            what a peer's process is told: broker, topics, folder
plain_faust.py      ┐
bare_loop.py        │
ours.py             │ the peers: one process each
quix/               │
kafka_streams/      ┘
catalogue.py        which peers there are, and what starts each (java.py and quix_environment.py prepare two of them)
process.py          starts and ends one peer
traffic.py          the requests, made before anything is timed
stopwatch.py        latency under an open loop
capacity.py         the highest sustained rate
audit.py            was every request decided, once, and rightly?
comparison.py       rounds, interleaved
report.py           medians, ranges, ratios, goals
page.py             the report as a table and as docs/peers.md

Nothing is imported here: a peer's process should hold no more than it needs.
"""
