"""The generated parts of the documentation: `python -m deploy.documentation` writes them, a test finds drift.

markdown.py    tables, and text between markers
source.py      what the code says about itself beyond its types: the comments beside its names
constraints.py what a value may be, in words, from its JSON Schema
messages.py    docs/messages.md: topics, messages, named outcomes
operations.py  the tables of settings and metrics in README.md
pages.py       which file gets what
"""
