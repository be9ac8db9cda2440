"""One file over HTTP: bytes gather in a ``.part`` file, and a broken-off transfer goes on where it ended."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from birdsod._files import write_text
from birdsod._progress import bar

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from pathlib import Path

    from tqdm.std import tqdm

__all__ = ["Refused", "Source", "Stalled", "checked_url", "fetch"]

_BLOCK = 1 << 18
_GZIP = b"\x1f\x8b"
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_PARTIAL = 206
_UNSATISFIABLE = 416


class Refused(Exception):  # noqa: N818 - an answer to the caller beside it, never seen outside this room
    """A source does not have the file; asking again would not help."""


class Stalled(Exception):  # noqa: N818 - the same
    """A transfer broke off; asking again may help."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file comes from and what is known of it beforehand.

    ``length`` is None where it is not known; ``vouched`` says that a hash will be checked afterwards, so that
    bytes from before a restart may be continued even from another server.
    """

    url: str
    length: int | None
    most: int
    timeout: float
    vouched: bool


def checked_url(url: str) -> str | None:
    """Return what is wrong with an address, or None."""
    try:
        parts = urlsplit(url)
        known = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    return None if known else "not an http or https address"


def fetch(source: Source, part: Path) -> None:
    """Bring ``part`` to its full length, continuing what it holds.

    Raises ``Refused`` or ``Stalled``; whatever happens, the bytes that came stay in ``part``.
    """
    held = _resumable(source, part)
    request = urllib.request.Request(source.url, headers=_headers(part, held))  # noqa: S310 - checked_url, and the opener knows http alone
    try:
        response = _opener().open(request, timeout=source.timeout)
    except urllib.error.HTTPError as error:
        with error:
            _answered(error, part, held)
    except (OSError, http.client.HTTPException) as error:
        raise Stalled(_reason(error)) from error
    else:
        with response:
            _receive(source, response, part, held)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https and nothing else: no files, no FTP, no data addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "birdsod")]
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https only, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        downgraded = urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme == "http"
        if checked_url(newurl) or downgraded:
            raise Refused(f"it redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _origin(part: Path) -> dict[str, object]:
    try:
        found = json.loads(_origin_file(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _resumable(source: Source, part: Path) -> int:
    """Return how many bytes of ``part`` can be continued from this source."""
    held = part.stat().st_size if part.exists() else 0
    same = _origin(part).get("url") == source.url and bool(_validator(part))
    return held if source.vouched or same else 0


def _validator(part: Path) -> str | None:
    found = _origin(part).get("etag")
    return found if isinstance(found, str) and found.startswith('"') else None


def _headers(part: Path, held: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
    if held:
        headers["Range"] = f"bytes={held}-"
        etag = _validator(part)
        if etag:
            headers["If-Range"] = etag
    return headers


def _answered(error: urllib.error.HTTPError, part: Path, held: int) -> None:
    """Tell what an error code means: nothing is missing, ask again, or ask elsewhere."""
    if error.code == _UNSATISFIABLE and held:
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if total and int(total[1]) == held:
            return
        discard(part)
        raise Stalled("the bytes from an earlier attempt do not belong to this file") from error
    raise (Stalled if error.code in _TRANSIENT else Refused)(f"HTTP {error.code} {error.reason}") from error


def discard(part: Path) -> None:
    """Forget what was gathered."""
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    return f"the connection failed ({inner or type(inner).__name__})"


def _receive(source: Source, response: http.client.HTTPResponse, part: Path, held: int) -> None:
    if "html" in response.headers.get_content_type():
        raise Refused(_HTML)
    start, total = _extent(response)
    _check_total(source, total)
    first = _next(response)
    if start == 0 and first[: len(_GZIP)] != _GZIP[: len(first)]:
        raise Refused(_HTML if first.lstrip().startswith(b"<") else "what it sends is no gzip archive")
    if start == 0 or start != held:
        discard(part)
    if start not in {0, held}:
        raise Stalled("the server continued at another place than it was asked to")
    write_text(_origin_file(part), json.dumps({"url": source.url, "etag": response.headers.get("ETag")}))
    expected = total if total is not None else source.length
    have = _copied(response, part, first, _Span(start, expected, source.most))
    if expected is not None and have < expected:
        raise Stalled(f"the connection broke off after {have:,} of {expected:,} bytes")


@dataclass(frozen=True, slots=True)
class _Span:
    """Where the bytes that come begin, where they should end, and where they must."""

    start: int
    expected: int | None
    most: int


_HTML = "it answered with a web page (HTML) in place of the archive: a login, a warning, or a page that moved"


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Return where the bytes that come begin, and how long the whole file is."""
    if response.status == _PARTIAL:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not span:
            raise Refused("it sent a part of the file without saying which")
        return int(span[1]), None if span[2] == "*" else int(span[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _check_total(source: Source, total: int | None) -> None:
    if total is None:
        return
    if source.length is not None and total != source.length:
        raise Refused(f"it announces {total:,} bytes, the archive has {source.length:,}")
    if total > source.most:
        raise Refused(f"it announces {total:,} bytes, more than the {source.most:,} that are taken")


def _copied(response: http.client.HTTPResponse, part: Path, block: bytes, span: _Span) -> int:
    """Append a first block and what comes after it, and return the length of the file."""
    have, limit = span.start, span.expected or span.most
    progress: tqdm[None]
    with (
        part.open("ab") as stream,
        bar(total=span.expected, initial=have, description="downloading", unit="B") as progress,
    ):
        while block and have <= limit:
            have += len(block)
            stream.write(block)
            progress.update(len(block))
            block = _next(response)
    if have > limit:
        discard(part)
        raise Refused(f"it sends more than the expected {limit:,} bytes")
    return have


def _next(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise Stalled(_reason(error)) from error
