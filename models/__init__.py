"""What is true: the pure domain. No I/O, no clock, no randomness; money is integer minor units.

Start with `authorization.py`; `account.py` holds the row that every function reads and changes.
"""
