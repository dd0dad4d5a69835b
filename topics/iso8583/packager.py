"""The packager: how each data element of ISO 8583:1987 looks on the wire, and nothing about what it means.

Everything is ASCII. Message type: four digits. Bitmaps: 16 hexadecimal digits, the second when bit 1 is set. Variable
elements: a length in digits in front. The four 64-bit elements (52, 64, 96, 128): 16 hexadecimal digits. No header.
Lengths and types are the standard's; 48 and 60 to 63 are private use, docs/iso8583.md says what we keep there. Elements
of type `raw` may hold any byte: text is read as Latin-1, so that reading it cannot fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import iso8583

from topics.iso8583.malformed import Malformed, MalformedReason, Unencodable

Elements = dict[int, str]
"""Data elements by number, without their lengths; 0 is the message type."""

MESSAGE_TYPE: Final = 0
MAX_BYTES: Final = 9999
"""Longest message taken, as in the four-digit length that links put in front of a message."""

_CONTENT: Final = {
    "n": re.compile(r"[0-9]*"),
    "xn": re.compile(r"[CD][0-9]+"),
    "an": re.compile(r"[A-Za-z0-9 ]*"),
    "ans": re.compile(r"[ -~]*"),
    "raw": re.compile(r".*", re.DOTALL),
    "b": re.compile(r"[0-9A-Fa-f]*"),
}
_TYPE_DIGITS: Final = re.compile(r"[0-9]{4}")
_BITMAP: Final = re.compile(rb"[0-9A-Fa-f]{16}")


@dataclass(frozen=True, slots=True)
class Element:
    """`digits` is the width of the length in front (0: fixed); `length` is the longest content, in bytes."""

    content: str  # a key of the patterns above
    digits: int
    length: int
    name: str

    @property
    def form(self) -> str:
        """As the standard writes it: "n 12", "n..19", "ans...999"."""
        return f"{self.content}{'.' * self.digits or ' '}{self.length}"


_TABLE: Final = """\
2 n..19 Primary account number
3 n6 Processing code
4 n12 Amount, transaction
5 n12 Amount, settlement
6 n12 Amount, cardholder billing
7 n10 Transmission date and time
8 n8 Amount, cardholder billing fee
9 n8 Conversion rate, settlement
10 n8 Conversion rate, cardholder billing
11 n6 System trace audit number
12 n6 Time, local transaction
13 n4 Date, local transaction
14 n4 Date, expiration
15 n4 Date, settlement
16 n4 Date, conversion
17 n4 Date, capture
18 n4 Merchant type
19 n3 Acquiring institution country code
20 n3 Primary account number country code
21 n3 Forwarding institution country code
22 n3 Point of service entry mode
23 n3 Card sequence number
24 n3 Network international identifier
25 n2 Point of service condition code
26 n2 Point of service PIN capture code
27 n1 Authorization identification response length
28 xn9 Amount, transaction fee
29 xn9 Amount, settlement fee
30 xn9 Amount, transaction processing fee
31 xn9 Amount, settlement processing fee
32 n..11 Acquiring institution identification code
33 n..11 Forwarding institution identification code
34 raw..28 Primary account number, extended
35 raw..37 Track 2 data
36 raw...104 Track 3 data
37 an12 Retrieval reference number
38 an6 Authorization identification response
39 an2 Response code
40 an3 Service restriction code
41 ans8 Card acceptor terminal identification
42 ans15 Card acceptor identification code
43 raw40 Card acceptor name and location
44 ans..25 Additional response data
45 raw..76 Track 1 data
46 raw...999 Additional data, ISO
47 raw...999 Additional data, national
48 raw...999 Additional data, private
49 an3 Currency code, transaction
50 an3 Currency code, settlement
51 an3 Currency code, cardholder billing
52 b16 Personal identification number data
53 n16 Security related control information
54 an...120 Additional amounts
55 raw...999 Reserved, ISO
56 raw...999 Reserved, ISO
57 raw...999 Reserved, national
58 raw...999 Reserved, national
59 raw...999 Reserved, national
60 raw...999 Reserved, private
61 raw...999 Reserved, private
62 raw...999 Reserved, private
63 raw...999 Reserved, private
64 b16 Message authentication code
66 n1 Settlement code
67 n2 Extended payment code
68 n3 Receiving institution country code
69 n3 Settlement institution country code
70 n3 Network management information code
71 n4 Message number
72 n4 Message number, last
73 n6 Date, action
74 n10 Credits, number
75 n10 Credits, reversal number
76 n10 Debits, number
77 n10 Debits, reversal number
78 n10 Transfers, number
79 n10 Transfers, reversal number
80 n10 Inquiries, number
81 n10 Authorizations, number
82 n12 Credits, processing fee amount
83 n12 Credits, transaction fee amount
84 n12 Debits, processing fee amount
85 n12 Debits, transaction fee amount
86 n16 Credits, amount
87 n16 Credits, reversal amount
88 n16 Debits, amount
89 n16 Debits, reversal amount
90 n42 Original data elements
91 an1 File update code
92 an2 File security code
93 an5 Response indicator
94 an7 Service indicator
95 an42 Replacement amounts
96 b16 Message security code
97 xn17 Amount, net settlement
98 ans25 Payee
99 n..11 Settlement institution identification code
100 n..11 Receiving institution identification code
101 ans..17 File name
102 ans..28 Account identification 1
103 ans..28 Account identification 2
104 raw...100 Transaction description
128 b16 Message authentication code
"""
_RESERVED: Final = range(105, 128)


def _parse(line: str) -> tuple[int, Element]:
    number, form, name = line.split(" ", 2)
    length = form.lstrip("abnrswx.")
    content = form.removesuffix(length).rstrip(".")
    return int(number), Element(content, form.count("."), int(length), name)


ELEMENTS: Final[Mapping[int, Element]] = {
    **dict(map(_parse, _TABLE.splitlines())),
    **dict.fromkeys(_RESERVED, Element("raw", 3, 999, "Reserved")),
}


def _specification() -> dict[str, dict[str, Any]]:
    """The table in the words of pyiso8583. There is no element 65 and none above 128: `unpack` refuses their bits."""

    def entry(digits: int, length: int, name: str) -> dict[str, Any]:
        return {"data_enc": "latin-1", "len_enc": "ascii", "len_type": digits, "max_len": length, "desc": name}

    frame = {
        "h": entry(0, 0, "No header"),
        "t": entry(0, 4, "Message type"),
        "p": entry(0, 16, "Bitmap"),
        "1": entry(0, 16, "Second bitmap"),
    }
    elements = {str(number): entry(one.digits, one.length, one.name) for number, one in ELEMENTS.items()}
    return frame | elements


SPECIFICATION: Final = _specification()


def element_name(number: int) -> str:
    """How errors call an element: "MTI", "DE4"."""
    return f"DE{number}" if number else "MTI"


def unpack(raw: bytes) -> Elements | Malformed:
    """The data elements of one message, each checked against its type; a `Malformed` for any other bytes."""
    refused = _refuse_frame(raw)
    if refused is not None:
        return refused
    try:
        decoded, encoded = iso8583.decode(raw, SPECIFICATION)
    except iso8583.DecodeError as error:
        return Malformed(MalformedReason.NOT_ISO8583, _library_name(error.field), error.msg)
    elements = {int(key): value for key, value in decoded.items() if key.isdigit() and key != "1"}
    for number, content in elements.items():
        length = encoded[str(number)]["len"]
        if length and not length.isdigit():  # the library's int() also takes signs, blanks and underscores
            return Malformed(MalformedReason.NOT_ISO8583, element_name(number), "its length is not of digits")
        if not _CONTENT[ELEMENTS[number].content].fullmatch(content):
            return Malformed(MalformedReason.INVALID_ELEMENT, element_name(number), f"not {ELEMENTS[number].form}")
    return {MESSAGE_TYPE: decoded["t"], **elements}


def pack(elements: Elements) -> bytes:
    """One message; raises Unencodable when an element does not have its length or type."""
    document = {"t": elements[MESSAGE_TYPE]}
    if not _TYPE_DIGITS.fullmatch(document["t"]):
        raise Unencodable("MTI", "not four digits")
    for number, content in elements.items():
        if number == MESSAGE_TYPE:
            continue
        if not _CONTENT[ELEMENTS[number].content].fullmatch(content):
            raise Unencodable(element_name(number), f"not {ELEMENTS[number].form}")
        document[str(number)] = content
    try:
        raw, _parts = iso8583.encode(document, SPECIFICATION)
    except iso8583.EncodeError as error:
        raise Unencodable(_library_name(error.field), error.msg) from None
    return bytes(raw)


def _refuse_frame(raw: bytes) -> Malformed | None:
    """Message type and bitmaps, where the library is too lenient: blanks in hexadecimal, elements beyond the table."""
    if len(raw) > MAX_BYTES:
        return Malformed(MalformedReason.NOT_ISO8583, "MTI", f"longer than {MAX_BYTES} bytes")
    if not _TYPE_DIGITS.fullmatch(raw[:4].decode("latin-1")):
        return Malformed(MalformedReason.NOT_ISO8583, "MTI", "not four digits")
    if not _BITMAP.fullmatch(raw[4:20]):
        return Malformed(MalformedReason.NOT_ISO8583, "bitmap", "not 16 hexadecimal digits")
    if int(raw[4:20], 16) >> 63:
        if not _BITMAP.fullmatch(raw[20:36]):
            return Malformed(MalformedReason.NOT_ISO8583, "bitmap", "the second one is not 16 hexadecimal digits")
        if int(raw[20:36], 16) >> 63:
            return Malformed(MalformedReason.NOT_ISO8583, "bitmap", "there is no third one in ISO 8583:1987")
    return None


def _library_name(key: str) -> str:
    return {"t": "MTI", "p": "bitmap", "1": "bitmap"}.get(key, f"DE{key}")
