"""Images by their addresses: ``https://``, ``s3://`` and ``gs://``; read in parts, and known again by what their server says of them.

Giving the address is the permission: no other request is made than for what it names. http(s) is asked by the standard library, which
follows no redirection out of http; buckets by obstore (extra ``remote``).
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, TypeGuard
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from fullconv.errors import BadInput, MissingExtra
from fullconv.rasters.source import Source, Span, Window

CONNECT, WHOLE, RETRIES = 15, 60, 3  # seconds for a connection and for an answer; times that a request is made again
_BETWEEN = 0.3  # seconds
_PIECES, _PIECE = 32, 64 << 10
_HTTP, _BUCKETS = ("http", "https"), ("s3", "gs")
_INSTALL = "pip install 'fullconv[remote]'"


def is_remote(image: Any) -> TypeGuard[str]:
    """Whether an image is named by an address."""
    return isinstance(image, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", image) is not None


@dataclass(frozen=True, slots=True)
class Stat:
    """What a server says of an object: its bytes, and what changes when it is written anew."""

    size: int
    tag: str
    modified: str


@dataclass(frozen=True, slots=True)
class Address:
    """One object, or the prefix of many."""

    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in (*_HTTP, *_BUCKETS):
            raise BadInput(f"{self.url}: images are read by https://, s3:// and gs://, not by {parts.scheme}://")
        if not parts.hostname or not parts.path.strip("/") or any(ord(c) < 32 for c in self.url):
            raise BadInput(f"{self.url}: is no address of an image; name a server (or bucket) and a path")

    @property
    def path(self) -> str:
        """What it names, without server and query."""
        return urlsplit(self.url).path

    @property
    def in_gdal(self) -> str:
        """As GDAL names it."""
        parts = urlsplit(self.url)
        if parts.scheme in _HTTP:
            return f"/vsicurl/{self._quoted}"
        return f"/vsi{parts.scheme}/{parts.netloc}{parts.path}"

    @property
    def _quoted(self) -> str:
        return quote(self.url, safe="%/:=&?~#+!$,;'@()*[]")

    def stat(self) -> Stat:
        """What its server says of it.

        Raises:
            BadInput: it is not there, must not be read, or its server does not answer or gives no parts.
        """
        if urlsplit(self.url).scheme in _BUCKETS:
            import obstore

            with told(self.url):
                about = obstore.head(self._bucket(), self.path.strip("/"))
            return Stat(about["size"], str(about["e_tag"] or ""), str(about["last_modified"]))
        with self._part(0, 1) as answer:
            size = re.fullmatch(r"bytes 0-0/([0-9]{1,18})", answer.headers.get("Content-Range", ""))
            if answer.status != 206 or size is None:
                raise BadInput(
                    f"{self.url}: its server gives no parts of a file (HTTP Range); download it and give the file"
                )
            return Stat(int(size[1]), answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", ""))

    def part(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop)."""
        if urlsplit(self.url).scheme in _BUCKETS:
            import obstore

            with told(self.url):
                return bytes(obstore.get_range(self._bucket(), self.path.strip("/"), start=start, end=stop))
        with self._part(start, stop) as answer:
            return bytes(answer.read(stop - start))

    @contextmanager
    def _part(self, start: int, stop: int) -> Iterator[http.client.HTTPResponse]:
        request = Request(self._quoted, headers={"Range": f"bytes={start}-{stop - 1}"})
        with told(self.url), _answer(request) as answer:
            yield answer

    def _bucket(self) -> Any:
        parts = urlsplit(self.url)
        return store_of(f"{parts.scheme}://{parts.netloc}")

    def fingerprint(self) -> str:
        """Of what its server says, and of pieces spread over it where that says no more than its size."""
        about = self.stat()
        made = hashlib.sha256(repr(about).encode())
        if not about.tag and not about.modified:
            for i in range(_PIECES):
                start = max(0, (about.size - _PIECE) * i // (_PIECES - 1))
                made.update(self.part(start, min(about.size, start + _PIECE)))
        return made.hexdigest()[:32]


def fingerprint(url: str, subdataset: str | None = None) -> str:
    """What tells what is at an address from what is there at another time.

    Args:
        subdataset: which array of a Zarr group.
    """
    address = Address(url)
    if ".zarr" not in address.path:
        return address.fingerprint()
    from fullconv.rasters.zarrs import fingerprint_at

    return fingerprint_at(url, subdataset)


def store_of(url: str) -> Any:
    """obstore's store of a prefix, with bounded waits."""
    if find_spec("obstore") is None:
        raise MissingExtra(f"{url}: buckets and Zarr by address need obstore; install it with: {_INSTALL}")
    from obstore.store import from_url

    own: Any = {"skip_signature": True} if os.environ.get("AWS_NO_SIGN_REQUEST", "").upper() in ("YES", "TRUE") else {}
    waits: Any = {"timeout": f"{WHOLE}s", "connect_timeout": f"{CONNECT}s"}
    if url.startswith("http://") or os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        waits["allow_http"] = True
    with told(url):
        return from_url(
            url, client_options=waits, retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=WHOLE)},
            **(own if url.startswith("s3://") else {}),
        )  # fmt: skip


@contextmanager
def told(url: str, missing: bool = False) -> Iterator[None]:
    """Failures of requests in words, with the address.

    Args:
        missing: let FileNotFoundError pass.
    """
    try:
        yield
    except FileNotFoundError:  # obstore's is one
        if missing:
            raise
        raise BadInput(f"{url}: {_of_status(404)}") from None
    except HTTPError as error:
        raise BadInput(f"{url}: {_of_status(error.code)}") from None
    except (URLError, http.client.HTTPException, OSError) as error:
        why = getattr(error, "reason", error)
        raise BadInput(f"{url}: its server does not answer ({_short(why)})") from None
    except BadInput:
        raise
    except Exception as error:  # obstore's, which need not be installed
        raise BadInput(f"{url}: {_of_bucket(error)}") from None


def _of_status(status: int) -> str:
    if status in (404, 410):
        return f"is not there (HTTP {status})"
    if status in (401, 403):
        return f"must not be read (HTTP {status}): no permission, or no such object; give credentials as its store's programs take them"
    return f"its server refuses the request (HTTP {status})"


def _of_bucket(error: Exception) -> str:
    kind, text = type(error).__name__, _short(error)
    if kind == "NotFoundError":
        return _of_status(404)
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return _of_status(403)
    return f"cannot be reached ({text})"


def _short(error: object) -> str:
    return " ".join(str(error).split("Debug source")[0].split())[:200]


def _answer(request: Request) -> Any:
    """Of a request that is made again where a server may have been busy."""
    for left in range(RETRIES - 1, -1, -1):
        try:
            return urlopen(request, timeout=CONNECT)
        except HTTPError as error:
            if error.code < 500 or not left:
                raise
        except (URLError, TimeoutError):
            if not left:
                raise
        time.sleep(_BETWEEN)
    return None


class RemoteFile(io.RawIOBase):
    """An object as a file that is read in parts."""

    def __init__(self, address: Address) -> None:
        self._address, self._size, self._at = address, address.stat().size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._address.part(self._at, min(self._size, self._at + len(buffer))) if self._at < self._size else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class Unchanged:
    """A source of which no window counts that was read after its object had changed."""

    def __init__(self, source: Source, address: Address, stat: Stat) -> None:
        self._source, self.about, self._address, self._stat = source, source.about, address, stat

    def read(self, level: int, rows: Span, cols: Span, bands: Sequence[int]) -> Window:
        found = self._source.read(level, rows, cols, bands)
        if self._address.stat() != self._stat:
            raise BadInput(
                f"{self._address.url}: has changed while it was read; start anew with --restart once it is whole"
            )
        return found

    def close(self) -> None:
        self._source.close()
