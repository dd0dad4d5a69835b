"""Scenarios: stories in YAML, one step a line, played through the real engine.

    story     what a scenario is
    values    amounts, moments, yes and no
    sending   a step's left side: the message
    expecting a step's right side: what must come of it
    reading   the file
    playing   the run, and what is checked after each step
    model     the scripted fraud model
    journal   the sums of the journal entries
    replies   which reply belongs to which message
    table     the story as a table, when it failed

tests/scenarios/README.md describes the format.
"""
