-- How far the sink has read. Moved in the transaction that posts, so that journal and offset can never disagree.
CREATE TABLE public.sink_offsets (
    topic       text        NOT NULL,
    partition   integer     NOT NULL CHECK (partition >= 0),
    next_offset bigint      NOT NULL CHECK (next_offset >= 0),  -- the first offset not yet in the ledger
    moved_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);
