"""The micro-batch transport under Faust: one slice per poll, decisions at once, fenced transactions for the rest.

protocol.py      the request versions that aiokafka lacks
wire.py          the five requests of a transaction, as bytes
fetch_wire.py    fetches and their answers, as bytes
layout.py        what both have in common
connections.py   aiokafka's connections and background tasks, none of which ends unseen
fencing.py       who may commit the offsets of what was fetched, and stable offset fetches
batches.py       batches, each sent until it is taken
coordinators.py  questions to coordinators, each asked until nothing is wrong
producer.py      sends a transaction that a stale worker cannot commit
release.py       decisions, readable before their transaction
redo.py          what follows from them, for the next owner if it never comes
inheritance.py   what a dead worker left open is ended by the next owner
transaction.py   one transaction, as numbered steps
fetching.py      when to fetch what comes next
rationing.py     how much of a slice what comes by the file may be, and when it is fetched
survey.py        what a consumer may ask its brokers for now
thread.py        what runs in Faust's consumer thread: polls, positions, ends
consumer.py      Faust's consumer, made to hand out slices
recovery.py      Faust's table recovery, made to work on a changelog written in transactions
"""
