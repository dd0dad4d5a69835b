"""Who a message is and whom it speaks of, so that a repeat and a reversal name the same authorisation.

    DE63  network reference: of this authorisation, or of the one that a reversal takes back
    DE62  network reference of the authorisation that an increment or a completion continues
    DE60  identity of a reversal

Where they are missing, references derive from what every acquirer sends: acquirer (32), trace number (11) and
transmission time (7) of the message itself, or the same three out of the original data elements (90). A repeat must
then carry the time of the first message; an acquirer that stamps repeats anew has to send elements 63 and 60.
"""

from __future__ import annotations

from topics.iso8583.malformed import MalformedReason, Refused, Unencodable
from topics.iso8583.packager import Elements, element_name
from topics.iso8583.times import moment, month_to_second, year_to_second


def derived(acquirer_id: str, stan: str, transmitted_at: int) -> str:
    """Such as 00000012345-000321-20260921141320: acquirer, trace number, UTC to the second."""
    return f"{acquirer_id:0>11}-{stan}-{year_to_second(transmitted_at)}"


def stated(elements: Elements, number: int) -> str | None:
    """The reference in element 60, 62 or 63; None when it is missing or blank."""
    return elements.get(number, "").strip(" ") or None


def own(elements: Elements, transmitted_at: int) -> str:
    """The reference that derives from the message itself; raises Refused without acquirer."""
    return derived(_needed(elements, 32, "needed without DE63"), elements[11], transmitted_at)


def original(elements: Elements, received_at: int) -> str | None:
    """The reference that derives from element 90; None when it is missing or zero.

    Element 90: message type (4), trace number (6), transmission time (10), acquirer (11), forwarder (11). An acquirer
    of zeros is the one of this message. Raises Refused when the time is none or there is no acquirer.
    """
    content = elements.get(90)
    if content is None or not content.strip("0"):
        return None
    transmitted_at = moment(content[10:20], received_at)
    if transmitted_at is None:
        raise Refused(MalformedReason.INVALID_ELEMENT, "DE90", "no transmission time within half a year")
    acquirer = content[20:31]
    if not acquirer.strip("0"):
        acquirer = _needed(elements, 32, "needed without an acquirer in DE90")
    return derived(acquirer, content[4:10], transmitted_at)


def write_original(message_type: str, stan: str, transmitted_at: int, acquirer_id: str) -> str:
    """Element 90; raises Unencodable unless every part has its width."""
    content = f"{message_type}{stan}{month_to_second(transmitted_at)}{acquirer_id:0>11}{0:011}"
    if len(content) != 42:
        raise Unencodable("original", "message type, trace number or acquirer has another width")
    return content


def _needed(elements: Elements, number: int, why: str) -> str:
    if not elements.get(number):
        raise Refused(MalformedReason.MISSING_ELEMENT, element_name(number), why)
    return elements[number]
