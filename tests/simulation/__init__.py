"""The loop poll -> decide -> release, and commit -> apply beside it, under a seeded scheduler, with a broker in memory:
no sockets, no clock.

The decider, the committer, the engine, the unit of work, what released decisions say of what follows from them, and the
parts of the transport that say when input may flow and when tables are restored are the real ones; a history is an
order in which everything takes its turn, and what goes wrong in it.

    turns       coroutines moved by hand, one await at a time
    schedule    every choice of a history, out of one seed
    broker      logs with offsets and markers, transactions, producers with epochs
    group       members, generations, committed and pending offsets
    producer    the worker's transactions
    releases    its decisions outside of them, and what fences who had a partition before
    stamps      replies that say when they were decided
    consumer    the worker's consumer: the real gates over a model of aiokafka's
    store       rows in a dictionary
    worker      one process: fetches, decides, restores, rejoins
    story       what is sent
    faults      what goes wrong
    history     workers, faults and the network in one order
    checker     what must hold at the end
    playing     plays histories by their seeds
    mutations   production code with one line wrong

Again: `python -m tests.simulation --seed N --trace`; many: `python -m tests.simulation --seed N --histories M`.
"""
