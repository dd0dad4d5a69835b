"""ISO 8583:1987 at the door: bytes of a card network to our messages and back. docs/iso8583.md is the mapping.

decode(raw, received_at_ms, tokenizer)   a message of ours, or Malformed
encode_request(message, origin)          bytes of a request, advice or reversal
encode_response(request_iso, reply)      bytes of the answer
refuse(request_iso, malformed)           bytes of the answer to what could not be taken
"""

from topics.iso8583.decode import Tokenizer, decode
from topics.iso8583.encode import Origin, Original, encode_request
from topics.iso8583.malformed import Malformed, MalformedReason, Unencodable
from topics.iso8583.response import encode_response, refuse, response_code

__all__ = [
    "Malformed",
    "MalformedReason",
    "Origin",
    "Original",
    "Tokenizer",
    "Unencodable",
    "decode",
    "encode_request",
    "encode_response",
    "refuse",
    "response_code",
]
