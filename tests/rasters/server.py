"""A server of files with Range, in a process of its own: libraries ask it while they hold this one's lock."""

from __future__ import annotations

import http.server
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder, log, ranges = Path(), Path(), True

    def do_GET(self) -> None:
        with self.log.open("a") as log:
            log.write(f"{self.command} {self.path}\n")
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/secret/"):
            return self._answer(403)
        if path.startswith("/moved/"):
            return self._answer(302, Location=(self.folder / path.removeprefix("/moved/")).as_uri())
        file = self.folder / path.lstrip("/")
        if not file.is_file():
            return self._answer(404)
        data, about = file.read_bytes(), file.stat()
        headers = {"ETag": f'"{about.st_mtime_ns:x}-{about.st_size:x}"', "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes=") or not self.ranges or path.startswith("/whole/"):
            return self._answer(200, data, **headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = (
            (int(first), min(len(data), int(last or len(data)) + 1))
            if first
            else (max(0, len(data) - int(last)), len(data))
        )
        if start >= len(data):
            return self._answer(416)
        return self._answer(
            206, data[start:stop], **headers, **{"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        )

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


class Served:
    """A folder on a server of this machine, and what was asked of it."""

    def __init__(self, folder: Path, url: str, log: Path) -> None:
        self.folder, self.url, self._log = folder, url, log

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[Served]:
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, __file__, str(folder), str(log)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Served(folder, f"http://127.0.0.1:{process.stdout.readline().strip()}", log)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    _Files.folder, _Files.log = Path(sys.argv[1]), Path(sys.argv[2])
    _server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    print(_server.server_port, flush=True)
    _server.serve_forever()
