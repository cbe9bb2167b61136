"""A web site with one page, which moves."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PAGES = (b"a page\n", b"another page\n")
"""What it serves at first, and later."""


class Site(http.server.ThreadingHTTPServer):
    """Serves the same page under every path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = PAGES[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def move(self) -> None:
        self.page = PAGES[1]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.page)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running_site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
