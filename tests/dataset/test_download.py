"""Downloads from real servers on this machine that break off, lie, stall and serve web pages."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import socket
import tarfile
import threading
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod.dataset import _download, _transfer, _unpack, download_cub
from birdsod.errors import DatasetError, DownloadError

if TYPE_CHECKING:
    from pathlib import Path


def made_up_archive() -> bytes:
    noise = np.random.default_rng(0).bytes(300_000)  # does not compress, so that there are bytes to lose
    files = {
        "images.txt": b"1 001.Made_Up/one.jpg\n",
        "classes.txt": b"1 001.Made_Up\n",
        "image_class_labels.txt": b"1 1\n",
        "bounding_boxes.txt": b"1 1.0 1.0 2.0 2.0\n",
        "train_test_split.txt": b"1 1\n",
        "images/001.Made_Up/one.jpg": noise,
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"CUB_200_2011/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


ARCHIVE = made_up_archive()
HASH = hashlib.sha256(ARCHIVE).hexdigest()
Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class Server:
    """A server that gives the scripted answers in turn, then whole files; it keeps what it was asked."""

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.asked: list[dict[str, str]] = []
        server = self

        class Scripted(Handler):
            def do_GET(self) -> None:  # noqa: N802 - the base's name
                server.asked.append({"path": self.path, **dict(self.headers)})
                (server.script.popleft() if server.script else whole)(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
                """Stay silent."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/CUB_200_2011.tgz"

    @property
    def ranges(self) -> list[str | None]:
        return [asked.get("Range") for asked in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send(handler: Handler, status: int, body: bytes, **headers: str | int) -> None:
    handler.send_response(status)
    for name, value in {"Content_Length": len(body), "Content_Type": "application/gzip", **headers}.items():
        if value != "":
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def whole(handler: Handler) -> None:
    """Answer as an honest server does, ranges included."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    if handler.headers.get("If-Range", '"one"') != '"one"':
        asked = None
    if not asked:
        send(handler, 200, ARCHIVE, ETag='"one"')
    elif start >= len(ARCHIVE):
        send(handler, 416, b"", Content_Range=f"bytes */{len(ARCHIVE)}")
    else:
        span = f"bytes {start}-{len(ARCHIVE) - 1}/{len(ARCHIVE)}"
        send(handler, 206, ARCHIVE[start:], Content_Range=span, ETag='"one"')


def breaking_off(share: float, body: bytes = ARCHIVE) -> Answer:
    return lambda handler: send(handler, 200, body[: int(len(body) * share)], Content_Length=len(body), ETag='"one"')


def coded(status: int, **headers: str | int) -> Answer:
    return lambda handler: send(handler, status, b"no", **headers)


def page(handler: Handler) -> None:
    send(handler, 200, b"<!DOCTYPE html><title>Virus scan warning</title>", Content_Type="text/html; charset=utf-8")


def hidden_page(handler: Handler) -> None:
    send(handler, 200, b"\n  <html><title>Sign in</title></html>")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def fetched(server: Server, tmp_path: Path) -> Callable[..., Path]:
    def fetch(**options: Any) -> Path:
        return download_cub(
            tmp_path / "data", **{"url": server.url, "sha256": HASH, "backoff": 0.0, "timeout": 20.0, **options}
        )

    return fetch


@pytest.fixture
def part(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "CUB_200_2011.tgz.part"


def refused(fetch: Callable[..., Path], **options: Any) -> str:
    with pytest.raises(DownloadError) as raised:
        fetch(**options)
    message = str(raised.value)
    assert "archive=" in message, "the way by hand is not named"
    return message


def test_fetches_checks_unpacks_and_tidies_up(fetched: Callable[..., Path], tmp_path: Path) -> None:
    folder = fetched()
    assert folder == tmp_path / "data" / "CUB_200_2011"
    assert _unpack.is_whole(folder)
    assert list(folder.parent.iterdir()) == [folder]


def test_a_whole_folder_is_used_as_it_is(fetched: Callable[..., Path], server: Server) -> None:
    first = fetched()
    assert fetched() == first
    assert len(server.asked) == 1


def test_a_folder_that_is_not_whole_is_refused(fetched: Callable[..., Path], server: Server) -> None:
    (fetched() / "classes.txt").unlink()
    with pytest.raises(DatasetError, match="not whole"):
        fetched()
    assert len(server.asked) == 1


def test_the_real_archive_is_asked_for_by_default() -> None:
    assert _download._addresses(None, ())[0].startswith("https://data.caltech.edu/records/65de6-vp158/")
    assert _download._addresses(None, ["https://example.org/a.tgz"])[-1] == "https://example.org/a.tgz"
    assert _download._addresses("http://example.org/b.tgz", ()) == ("http://example.org/b.tgz",)


def test_goes_on_where_the_connection_broke_off(fetched: Callable[..., Path], server: Server) -> None:
    server.script.extend([breaking_off(0.4)])
    assert fetched().is_dir()
    assert server.ranges == [None, f"bytes={int(len(ARCHIVE) * 0.4)}-"]
    assert server.asked[1]["If-Range"] == '"one"'


def test_goes_on_in_a_later_call(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    server.script.append(breaking_off(0.6))
    message = refused(fetched, attempts=1)
    held = int(len(ARCHIVE) * 0.6)
    assert f"broke off after {held:,} of {len(ARCHIVE):,} bytes" in message
    assert part.read_bytes() == ARCHIVE[:held]
    assert fetched().is_dir()
    assert server.ranges == [None, f"bytes={held}-"]


def test_goes_on_from_another_mirror(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    part.write_bytes(ARCHIVE[:1000])
    assert fetched().is_dir()
    assert server.ranges == ["bytes=1000-"]
    assert "If-Range" not in server.asked[0]


def test_without_a_hash_only_the_same_file_is_continued(
    fetched: Callable[..., Path], server: Server, part: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part.write_bytes(b"\x1f\x8bother")
    server.script.append(breaking_off(0.5))
    assert fetched(sha256=None).is_dir()
    assert server.ranges == [None, f"bytes={len(ARCHIVE) // 2}-"]
    assert "SHA-256 is not checked" in caplog.text


def test_a_file_that_changed_since_is_fetched_anew(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    part.write_bytes(b"\x1f\x8bof yesterday")
    part.with_name(f"{part.name}.json").write_text(f'{{"url": "{server.url}", "etag": "\\"old\\""}}')
    assert fetched().is_dir()
    assert server.asked[0]["If-Range"] == '"old"'


@pytest.mark.parametrize("origin", ["", "[]", "{", '{"etag": 3}', '{"etag": "W/\\"weak\\""}'])
def test_a_spoilt_note_of_the_origin_is_ignored(
    fetched: Callable[..., Path], server: Server, part: Path, origin: str
) -> None:
    part.write_bytes(ARCHIVE[:1000])
    part.with_name(f"{part.name}.json").write_text(origin)
    assert fetched().is_dir()
    assert "If-Range" not in server.asked[0]


def test_a_server_that_ignores_ranges_is_read_from_the_start(
    fetched: Callable[..., Path], server: Server, part: Path
) -> None:
    part.write_bytes(ARCHIVE[:1000])
    server.script.append(lambda handler: send(handler, 200, ARCHIVE))
    assert fetched().is_dir()
    assert server.ranges == ["bytes=1000-"]


def test_a_server_that_continues_elsewhere_is_asked_anew(
    fetched: Callable[..., Path], server: Server, part: Path
) -> None:
    part.write_bytes(ARCHIVE[:1000])
    span = f"bytes 500-{len(ARCHIVE) - 1}/{len(ARCHIVE)}"
    server.script.append(lambda handler: send(handler, 206, ARCHIVE[500:], Content_Range=span))
    assert fetched().is_dir()
    assert server.ranges == ["bytes=1000-", None]


def test_a_part_that_does_not_say_which_is_refused(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    part.write_bytes(ARCHIVE[:1000])
    server.script.append(lambda handler: send(handler, 206, ARCHIVE[1000:]))
    assert "without saying which" in refused(fetched)
    assert part.read_bytes() == ARCHIVE[:1000]


def test_a_part_of_a_file_of_unknown_length_is_taken(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    part.write_bytes(ARCHIVE[:1000])
    span = f"bytes 1000-{len(ARCHIVE) - 1}/*"
    server.script.append(lambda handler: send(handler, 206, ARCHIVE[1000:], Content_Range=span))
    assert fetched().is_dir()


def test_a_complete_part_is_taken(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    part.write_bytes(ARCHIVE)
    assert fetched().is_dir()
    assert server.ranges == [f"bytes={len(ARCHIVE)}-"]


def test_a_part_that_is_too_long_is_fetched_anew(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    part.write_bytes(ARCHIVE + b"more")
    assert fetched().is_dir()
    assert server.ranges == [f"bytes={len(ARCHIVE) + 4}-", None]


def test_a_server_that_says_too_much_is_given_up(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    server.script.extend(
        [lambda handler: send(handler, 200, ARCHIVE, Content_Length=len(ARCHIVE) + 10)]
        + [lambda handler: send(handler, 416, b"", Content_Range=f"bytes */{len(ARCHIVE) + 10}")] * 2
    )
    assert "HTTP 416" in refused(fetched)
    assert len(server.asked) == 3
    assert not part.exists()


def test_a_server_that_says_too_little_is_found_out_by_the_hash(
    fetched: Callable[..., Path], server: Server, part: Path
) -> None:
    server.script.append(lambda handler: send(handler, 200, ARCHIVE[:-10], Content_Length=len(ARCHIVE) - 10))
    message = refused(fetched)
    assert f"expected SHA-256 {HASH}, found {hashlib.sha256(ARCHIVE[:-10]).hexdigest()}" in message
    assert not part.exists()


@pytest.fixture
def known_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_download, "LENGTH", len(ARCHIVE))
    monkeypatch.setattr(_download, "SHA256", HASH)


@pytest.mark.usefixtures("known_length")
@pytest.mark.parametrize("difference", [-10, 10])
def test_a_length_other_than_the_known_one_is_refused_at_once(
    fetched: Callable[..., Path], server: Server, difference: int
) -> None:
    server.script.append(coded(200, Content_Length=len(ARCHIVE) + difference))
    assert f"announces {len(ARCHIVE) + difference:,} bytes, the archive has {len(ARCHIVE):,}" in refused(fetched)
    assert len(server.asked) == 1


@pytest.mark.usefixtures("known_length")
def test_a_body_of_unknown_length_that_goes_on_and_on_is_cut(
    fetched: Callable[..., Path], server: Server, part: Path
) -> None:
    server.script.append(lambda handler: send(handler, 200, ARCHIVE + b"more", Content_Length=""))
    assert "sends more than the expected" in refused(fetched)
    assert not part.exists()


@pytest.mark.usefixtures("known_length")
def test_a_body_of_unknown_length_that_ends_early_is_continued(fetched: Callable[..., Path], server: Server) -> None:
    server.script.append(lambda handler: send(handler, 200, ARCHIVE[:2000], Content_Length=""))
    assert fetched().is_dir()
    assert server.ranges == [None, "bytes=2000-"]


def test_a_body_of_unknown_length_is_taken_when_nothing_is_known(fetched: Callable[..., Path], server: Server) -> None:
    server.script.append(lambda handler: send(handler, 200, ARCHIVE, Content_Length=""))
    assert fetched().is_dir()


def test_more_than_can_be_the_archive_is_refused(fetched: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_download, "MOST_BYTES", 1000)
    assert "more than the 1,000 that are taken" in refused(fetched)


@pytest.mark.parametrize("answer", [page, hidden_page])
def test_a_web_page_is_recognised(fetched: Callable[..., Path], server: Server, answer: Answer, part: Path) -> None:
    part.write_bytes(ARCHIVE[:1000])
    server.script.append(answer)
    message = refused(fetched)
    assert "answered with a web page (HTML)" in message
    assert server.url in message
    assert part.read_bytes() == ARCHIVE[:1000], "what was gathered before is lost"


def test_what_is_no_gzip_is_recognised(fetched: Callable[..., Path], server: Server) -> None:
    server.script.append(lambda handler: send(handler, 200, b"PK\x03\x04"))
    assert "no gzip archive" in refused(fetched)


def test_an_empty_answer_is_no_archive(fetched: Callable[..., Path], server: Server) -> None:
    server.script.append(lambda handler: send(handler, 200, b""))
    assert "expected SHA-256" in refused(fetched)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_missing_file_is_not_asked_for_again(fetched: Callable[..., Path], server: Server, status: int) -> None:
    server.script.append(coded(status))
    assert f"HTTP {status}" in refused(fetched)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(fetched: Callable[..., Path], server: Server, status: int) -> None:
    server.script.extend([coded(status), coded(status)])
    assert fetched().is_dir()
    assert len(server.asked) == 3


def test_pauses_double_up_to_a_minute(
    fetched: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("birdsod.dataset._download.time.sleep", pauses.append)
    server.script.extend([coded(503)] * 9)
    refused(fetched, attempts=9, backoff=1.0)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_an_attempt_that_brought_much_is_not_counted(
    fetched: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "_PROGRESS", 10_000)
    server.script.extend([breaking_off(0.2), cut_off, cut_off, cut_off])
    assert fetched(attempts=1).is_dir()
    assert len(server.asked) == 5


def cut_off(handler: Handler) -> None:
    start = int(handler.headers["Range"][len("bytes=") : -1])
    span = f"bytes {start}-{len(ARCHIVE) - 1}/{len(ARCHIVE)}"
    send(handler, 206, ARCHIVE[start : start + 20_000], Content_Range=span, Content_Length=len(ARCHIVE) - start)


def test_a_wrong_hash_is_told_and_the_next_mirror_asked(
    fetched: Callable[..., Path], server: Server, tmp_path: Path
) -> None:
    wrong = b"\x1f\x8b" + bytes(len(ARCHIVE) - 2)
    server.script.append(lambda handler: send(handler, 200, wrong))
    assert fetched(mirrors=[server.url]).is_dir()
    assert server.ranges == [None, None]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["CUB_200_2011"]


def test_every_address_is_tried_and_named(fetched: Callable[..., Path], server: Server) -> None:
    server.script.extend([coded(404), page])
    mirror = server.url.replace("CUB", "mirror")
    message = refused(fetched, mirrors=[mirror])
    assert f"{server.url}: HTTP 404" in message
    assert f"{mirror}: it answered with a web page" in message


def test_a_redirect_is_followed(fetched: Callable[..., Path], server: Server) -> None:
    server.script.append(coded(302, Location="/elsewhere.tgz"))
    assert fetched().is_dir()
    assert [asked["path"] for asked in server.asked] == ["/CUB_200_2011.tgz", "/elsewhere.tgz"]


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/a.tgz", "gopher://x"])
def test_a_redirect_away_from_http_is_not_followed(fetched: Callable[..., Path], server: Server, place: str) -> None:
    server.script.append(coded(302, Location=place))
    assert re.search("not (followed|allowed)", refused(fetched))


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    request = urllib.request.Request("https://example.org/a.tgz")
    with pytest.raises(_transfer.Refused, match="not followed"):
        _transfer._Redirects().redirect_request(request, io.BytesIO(), 302, "", None, "http://example.org/")  # type: ignore[arg-type]  # never read


def test_redirects_in_a_circle_end(fetched: Callable[..., Path], server: Server) -> None:
    server.script.extend([coded(302, Location="/CUB_200_2011.tgz")] * 30)
    assert "HTTP 302" in refused(fetched)
    assert len(server.asked) < 15


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/a.tgz", "/data/a.tgz", "https://", "http://[::1/a", "http://a:0x/"]
)
def test_only_http_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="not an http or https address"):
        download_cub(tmp_path, url=url)
    with pytest.raises(DownloadError, match="not an http or https address"):
        download_cub(tmp_path, mirrors=[url])


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.tgz"
        message = refused(lambda **o: download_cub(tmp_path, url=url, sha256=HASH, backoff=0.0, **o), attempts=2)
    assert "the connection failed" in message
    assert "asked 2 times" in message


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_server_that_never_answers(silent: socket.socket, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.tgz"
    with pytest.raises(DownloadError, match="no answer in time"):
        download_cub(tmp_path, url=url, sha256=HASH, attempts=1, timeout=0.05)


def test_a_server_that_falls_silent(fetched: Callable[..., Path], server: Server, part: Path) -> None:
    done = threading.Event()

    def falls_silent(handler: Handler) -> None:
        send(handler, 200, ARCHIVE[:5000], Content_Length=len(ARCHIVE))
        handler.wfile.flush()
        done.wait(30)

    server.script.append(falls_silent)
    assert "no answer in time" in refused(fetched, attempts=1, timeout=0.5)
    done.set()
    assert part.read_bytes() == ARCHIVE[:5000]


def test_an_interruption_keeps_what_came(
    fetched: Callable[..., Path], server: Server, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _transfer._next
    blocks: list[bytes] = []

    def interrupted(response: Any) -> bytes:
        if len(blocks) == 2:
            raise KeyboardInterrupt
        blocks.append(read(response))
        return blocks[-1]

    monkeypatch.setattr(_transfer, "_BLOCK", 10_000)
    monkeypatch.setattr(_transfer, "_next", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetched()
    held = sum(map(len, blocks))
    assert part.read_bytes() == ARCHIVE[:held]
    monkeypatch.undo()
    assert fetched().is_dir()
    assert server.ranges == [None, f"bytes={held}-"]


def test_an_interruption_while_unpacking_keeps_the_archive(
    fetched: Callable[..., Path], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetched()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["CUB_200_2011.tgz"]
    monkeypatch.undo()
    assert fetched().is_dir()
    assert len(server.asked) == 1


def test_an_archive_from_earlier_that_differs_is_fetched_anew(
    fetched: Callable[..., Path], server: Server, part: Path
) -> None:
    part.with_name("CUB_200_2011.tgz").write_bytes(b"\x1f\x8bother")
    assert fetched().is_dir()
    assert len(server.asked) == 1


def test_a_local_archive_is_unpacked_and_kept(tmp_path: Path) -> None:
    local = tmp_path / "mine.tgz"
    local.write_bytes(ARCHIVE)
    folder = download_cub(tmp_path / "data", archive=local, sha256=HASH.upper())
    assert _unpack.is_whole(folder)
    assert local.read_bytes() == ARCHIVE


def test_a_local_archive_may_be_anyones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    local = tmp_path / "mine.tgz"
    local.write_bytes(ARCHIVE)
    assert download_cub(tmp_path / "data", archive=local, sha256=None).is_dir()
    assert "SHA-256 is not checked" in caplog.text


def test_a_local_archive_with_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    local = tmp_path / "mine.tgz"
    local.write_bytes(ARCHIVE)
    with pytest.raises(DatasetError, match=f"expected SHA-256 {_download.SHA256}, found {HASH}"):
        download_cub(tmp_path / "data", archive=local)


def test_a_local_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such archive"):
        download_cub(tmp_path / "data", archive=tmp_path / "none.tgz")


def test_an_address_and_an_archive_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="both"):
        download_cub(tmp_path, url="http://example.org/a.tgz", archive="a.tgz")


def full_disk(_: object) -> SimpleNamespace:
    return SimpleNamespace(total=10, used=9, free=1)


def test_too_little_room_is_told_before_a_byte_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsod.dataset._download.shutil.disk_usage", full_disk)
    with pytest.raises(DownloadError, match=r"not enough room on the disk: 2,588,817,0\d\d bytes are needed"):
        download_cub(tmp_path, url=server.url)
    assert server.asked == []


def test_too_little_room_to_unpack_is_told_and_the_archive_kept(
    fetched: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("birdsod.dataset._download.shutil.disk_usage", full_disk)
    with pytest.raises(DownloadError, match="not enough room"):
        fetched()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["CUB_200_2011.tgz"]


def test_a_place_that_cannot_be_written(fetched: Callable[..., Path], part: Path) -> None:
    part.mkdir()
    with pytest.raises(DownloadError, match="cannot be written"):
        fetched()


@pytest.mark.parametrize("given", [False, True])
def test_a_file_in_place_of_the_directory(tmp_path: Path, given: bool) -> None:
    archive = tmp_path / "birds.tgz"
    archive.write_bytes(b"any")
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="cannot be put here") as caught:
        download_cub(tmp_path / "file", archive=archive if given else None, sha256=None)
    assert caught.value.path == str(tmp_path / "file")
