"""Free loopback ports that stay ours until a server listens on them."""

from __future__ import annotations

import socket
import sys
from types import TracebackType

LOOPBACK = "127.0.0.1"


class ReservedPort:
    """A port bound but not listened on, from entering to leaving the `with` block.

    On Linux a second socket may bind such a port when both allow reuse (the JVM and PostgreSQL do), while the kernel
    gives it to nobody who asks for any free port: two runs that start together cannot choose the same one. Elsewhere
    the second bind would fail, so the port is given back at once and a collision is answered by another try.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, 0))
        self.number: int = self._socket.getsockname()[1]

    def __enter__(self) -> ReservedPort:
        if sys.platform != "linux":
            self._socket.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
