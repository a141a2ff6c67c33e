"""One address before several copies: connections go round, past those that refuse them, as a load balancer for TCP would have it.

Before a single one it is a line that can be cut.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

PIECE = 65_536


@dataclass(slots=True)
class Balancer:
    """`backends` are ports of 127.0.0.1, which a test may change at any time."""

    backends: list[int]
    port: int = 0
    taken: int = 0
    silent: bool = False
    """Whether nothing comes through, and nothing is closed either: as where a line between two sites is cut."""
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def connect(self) -> socket.socket | None:
        """Return a connection to a copy that takes one."""
        with self._turn:
            self.taken += 1
            begin = self.taken
            ports = list(self.backends)
        for offset in range(len(ports)):
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", ports[(begin + offset) % len(ports)]), timeout=5)
        return None


@contextlib.contextmanager
def balancing(backends: list[int]) -> Iterator[Balancer]:
    """Stand before copies while the block lasts."""
    balancer, ended = Balancer(backends), threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        balancer.port = listener.getsockname()[1]
        listener.settimeout(0.1)

        def accept() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    client, _ = listener.accept()
                    thread = threading.Thread(target=_carry, args=(balancer, client, ended))
                    threads.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield balancer
        finally:
            ended.set()
            accepting.join()
            for thread in threads:
                thread.join()


def _carry(balancer: Balancer, client: socket.socket, ended: threading.Event) -> None:
    """Carry bytes both ways until either side ends."""
    client.setblocking(True)  # noqa: FBT003 - as socket has it
    server = balancer.connect()
    with client:
        if server is None:
            return
        with server, selectors.DefaultSelector() as ready:
            other = {client: server, server: client}
            for one in other:
                one.settimeout(5)
                ready.register(one, selectors.EVENT_READ)
            with contextlib.suppress(OSError):
                while not ended.is_set():
                    if balancer.silent:
                        ended.wait(0.1)
                        continue
                    for key, _ in ready.select(0.1):
                        source = key.fileobj
                        assert isinstance(source, socket.socket)
                        data = source.recv(PIECE)
                        if not data:
                            return
                        other[source].sendall(data)
