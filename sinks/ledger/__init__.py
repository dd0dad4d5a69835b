"""The ledger in PostgreSQL: every journal entry of the stream posted exactly once, with the offset it was read at."""
