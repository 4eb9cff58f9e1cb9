"""uvicorn's WebSocket connection, with what a hub needs and ASGI has no words for.

Sockets are served by `uvicorn --ws realtime.connection:Connection --ws-per-message-deflate false`: the same bytes go to
every reader, and what waits for one of them is nowhere but in its transport's buffer, which can be measured.
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

MOST_WAITING = 256 * 1024  # bytes a reader may be behind
LAST_WORDS_SECONDS = 3.0  # how long an ended connection may take to read what is on its way


def framed(text: str) -> bytes:
    """The text as one WebSocket frame from the server, ready for any number of connections."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


class Connection(WebSocketsSansIOProtocol):
    """Never waits for its reader: what does not fit into the buffer ends the connection."""

    on_drained: Callable[[], None] | None = None
    stalled_at: float | None = None  # the loop's time since when too much waits

    def handle_connect(self, event: Any) -> None:
        """Let the application have this connection."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions["connection"] = self

    def push(self, frame: bytes) -> bool:
        """Write without waiting; False when the reader is too far behind to get it."""
        transport = self.transport
        if self.close_sent or transport.is_closing():
            return True
        if transport.get_write_buffer_size() + len(frame) > MOST_WAITING:
            return False
        transport.write(frame)
        return True

    def end(self, code: int) -> None:
        """Close with this code after what is on its way; cut the line when that takes too long."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LAST_WORDS_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """More waits than the transport likes (64 KiB)."""
        super().pause_writing()
        self.stalled_at = self.loop.time()

    def resume_writing(self) -> None:
        """The reader caught up."""
        super().resume_writing()
        self.stalled_at = None
        if self.on_drained is not None:
            self.on_drained()
