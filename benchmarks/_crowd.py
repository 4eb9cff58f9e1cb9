"""Thousands of real WebSocket clients in a process of their own: raw sockets, one epoll loop, little work."""

import base64
import os
import resource
import select
import socket
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

PING_EVERY = 10.0
SAMPLED = 10  # every so manieth client times its frames
MARK = b'"sent":'
_PING = b'{"type":"ping"}'


class Client:
    """One socket: what came in, and how much of a frame is still missing."""

    __slots__ = ("count", "rest", "sampled", "socket")

    def __init__(self, sock: socket.socket, rest: bytes, *, sampled: bool) -> None:
        self.socket, self.rest, self.sampled, self.count = sock, rest, sampled, 0


class Group:
    """The clients of one server."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.pings = False
        self.pinged = 0
        self.delays: list[float] = []
        self.last = 0
        self.closed = 0


def _masked(payload: bytes) -> bytes:
    mask = b"\x01\x02\x03\x04"
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([0x81, 0x80 | len(payload)]) + mask + body


PING_FRAME = _masked(_PING)


def open_socket(port: int, path: str, headers: str) -> tuple[socket.socket, bytes]:
    """The handshake; answers the socket and what came after the handshake."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Origin: http://127.0.0.1:{port}\r\n{headers}\r\n".encode()
    )
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(4096)
        if not more:
            raise ConnectionError(got.decode("latin-1"))
        got += more
    head, _, rest = got.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise ConnectionError(head.decode("latin-1"))
    sock.setblocking(False)
    return sock, rest


class Crowd:
    """Runs in its process and does what comes over the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.poll = select.epoll()
        self.groups: dict[str, Group] = {}
        self.by_fd: dict[int, tuple[Group, Client]] = {}
        self.buffer = bytearray(1 << 18)
        self.view = memoryview(self.buffer)

    def run(self) -> None:
        """Until told to go."""
        self.poll.register(self.pipe.fileno(), select.EPOLLIN)
        commands = {"open": self.open, "reset": self.reset, "tell": self.tell, "close": self.close}
        while True:
            for fd, _ in self.poll.poll(0.05):
                if fd == self.pipe.fileno():
                    name, *given = self.pipe.recv()
                    if name == "go":
                        return
                    self.pipe.send(commands[name](*given))
                elif fd in self.by_fd:
                    self.read(fd)
            self.keep_alive()

    def open(self, name: str, port: int, path: str, headers: Sequence[str], pings: bool) -> int:
        """Open a socket for each of these headers."""
        group = self.groups[name] = Group()
        group.pings = pings
        with ThreadPoolExecutor(16) as threads:
            made = list(threads.map(lambda one: open_socket(port, path, one), headers))
        for number, (sock, rest) in enumerate(made):
            client = Client(sock, rest, sampled=number % SAMPLED == 0)
            group.clients.append(client)
            self.by_fd[sock.fileno()] = (group, client)
            self.poll.register(sock.fileno(), select.EPOLLIN)
        return len(made)

    def reset(self, name: str) -> None:
        """Begin to count anew."""
        group = self.groups[name]
        group.delays, group.last = [], 0
        for client in group.clients:
            client.count = 0

    def tell(self, name: str) -> dict[str, Any]:
        """What came: notices in all, the fewest at one client, delays in seconds, when the last came."""
        group = self.groups[name]
        counts = [client.count for client in group.clients]
        return {
            "all": sum(counts),
            "fewest": min(counts),
            "delays": group.delays,
            "last": group.last,
            "closed": group.closed,
        }

    def close(self, name: str) -> None:
        """Hang up."""
        for client in self.groups.pop(name).clients:
            self.by_fd.pop(client.socket.fileno(), None)
            client.socket.close()

    def read(self, fd: int) -> None:
        group, client = self.by_fd[fd]
        try:
            size = client.socket.recv_into(self.buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self.poll.unregister(fd)
            del self.by_fd[fd]
            group.closed += 1
            return
        now = time.monotonic_ns()
        data = client.rest + self.buffer[:size] if client.rest else bytes(self.view[:size])
        at, end = 0, len(data)
        while at + 2 <= end:
            length, begin = data[at + 1], at + 2
            if length == 126:
                if at + 4 > end:
                    break
                length, begin = struct.unpack_from("!H", data, at + 2)[0], at + 4
            if begin + length > end:
                break
            mark = data.find(MARK, begin, begin + 40)
            if mark >= 0:
                client.count += 1
                group.last = now
                if client.sampled:
                    group.delays.append((now - int(data[mark + 7 : data.index(b",", mark)])) / 1e9)
            at = begin + length
        client.rest = data[at:]

    def keep_alive(self) -> None:
        for group in self.groups.values():
            if group.pings and group.clients:
                due = int(time.monotonic() / PING_EVERY * len(group.clients))
                if group.pinged == 0 or due - group.pinged > len(group.clients):
                    group.pinged = due - 1
                while group.pinged < due:
                    group.pinged += 1
                    client = group.clients[group.pinged % len(group.clients)]
                    try:
                        client.socket.send(PING_FRAME)
                    except OSError:
                        continue  # read() will notice


def _main(pipe: Connection, cpu: int | None) -> None:
    many = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (many, many))
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    Crowd(pipe).run()


class Remote:
    """The crowd, seen from the measurement."""

    def __init__(self, cpu: int | None = None) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_main, args=(theirs, cpu), daemon=True)
        self.process.start()
        theirs.close()

    def __call__(self, name: str, *given: Any) -> Any:
        """Give an order and wait for the answer."""
        self.pipe.send((name, *given))
        return self.pipe.recv()

    def go(self) -> None:
        """End the crowd."""
        self.pipe.send(("go",))
        self.process.join(5)
