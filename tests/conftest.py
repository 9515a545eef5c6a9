"""Windows are drawn off screen where there is no screen, examples take their time; a server for downloads."""

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


class Server(ThreadingHTTPServer):
    """Serves ``content`` at ``address``; what it was asked for stands in ``requests``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = True
        self.breaks: list[int] = []
        """How many bytes the next answers give before the connection ends."""
        self.stalls = False
        self.requests: list[str | None] = []
        self.publish(b"")

    def publish(self, content: bytes) -> None:
        """Serve other content, at an address that carries its checksum."""
        self.content = content
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.address = f"http://127.0.0.1:{self.server_port}/models/weights-{self.sha256[:8]}.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if "absent" in self.path:
            self.send_error(404)
            return
        content, start = self.server.content, 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        given = content[start:]
        if self.server.breaks:
            given = given[: self.server.breaks.pop(0)]
        self.wfile.write(given)
        if self.server.stalls:
            threading.Event().wait(2)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()
