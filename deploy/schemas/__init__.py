"""The published contract: JSON Schemas of every message, what may be changed in them, and the AsyncAPI document.

generation      models.messages -> a JSON Schema for every type and version
values          which names stand in a field that is declared as a string
comments        what the source says behind a field or a name
compatibility   published, generated -> the changes that break somebody
patterns        is every text that one pattern takes also taken by another
publication     docs/schemas: what stands there, and what may not be written over it
page            the same for people: docs/messages.md
markdown        tables of the generated pages
asyncapi        topics and schemas -> an AsyncAPI 3 document
"""
