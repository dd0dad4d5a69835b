"""A fault campaign: faults by a seeded schedule, under load, on real servers and processes; afterwards everything is
checked. `python -m tests.chaos.campaign --seed N --minutes M`, or `make chaos`.

    schedule     which fault when: a function of seed and length, nothing else
    story        what is sent: authorisations of ever new accounts, one record in a hundred poison
    money        what follows requests: presentments, payments, refunds, disputes
    clock        the load's, which can go wrong
    load         sends the story at a steady rate
    reader       reads what comes out, once and in order, however slow it is made
    world        the broker, the database, the workers and the sink, as processes that can be hurt
    disk         a disk that can run full
    faults       the registry; workers, stores, disks, servers, cluster, reassignment, network, clocks, readers
    watch        when each partition decided again
    conduct      plays the schedule, and has everything checked
    result       a trial for every fault, and what the checks have found
    history      what the topics say, one partition at a time
    pairing      each message with its reply, in the order they were decided in
    figures      how far the auditor has come, for the search of that order
    refusals     messages that could be read and were not decided
    checker      one decision each, books in agreement, every poison record in the dead letters once
    ledger       the ledger in PostgreSQL against the rows
    page         docs/reliability.md and the table on the terminal
"""
