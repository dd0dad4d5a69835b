"""The micro-batch transport under Faust: one slice per poll, one fenced Kafka transaction per slice.

protocol.py      the request versions that aiokafka lacks
wire.py          the five requests of a transaction, as bytes
fencing.py       who may commit the offsets of what was fetched, and stable offset fetches
producer.py      sends a transaction that a stale worker cannot commit
inheritance.py   what a dead worker left open is ended by the next owner
transaction.py   one transaction, as numbered steps
fetching.py      when to fetch what comes next
thread.py        what runs in Faust's consumer thread: polls, positions, ends
consumer.py      Faust's consumer, made to hand out slices
recovery.py      Faust's table recovery, made to work on a changelog written in transactions
"""
