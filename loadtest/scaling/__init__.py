"""How the engine grows: with the accounts in its table, and with the workers that share the partitions.

population.py   rows and requests of as many accounts as wanted: the engine's own, of a few simulated ones
hits.py         which accounts ask
ground.py       a group's place on the broker: topics, rows in its changelog, input that is not its own skipped
process.py      what a process has used, and how long it has waited for a core
worker.py       the worker processes of one part of a round
growth.py       one part: latency at a fixed rate on so many accounts
backlog.py      one part: so many workers on a backlog
opening.py      how many accounts a second the engine opens
comparison.py   rounds, interleaved
report.py       medians, ranges, ratios with intervals, goals
page.py         the report as an HTML file
"""
