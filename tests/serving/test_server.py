"""Every answer of the server, over real HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from birdsod.errors import ImageError, MissingDependencyError, ServingError
from birdsod.serving import Server
from birdsod.serving.server import listen

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = [[1.0, 0.875, 0.25, 0.5, 0.75, 1.0], [0.0, 0.25, 0.0, 0.0, 0.5, 0.25]]


def connect(server: Server) -> http.client.HTTPConnection:
    parts = urlsplit(server.url)
    return http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)


def ask(
    server: Server,
    method: str = "POST",
    path: str = "/invocations",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = connect(server)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None, answer.msg
    finally:
        connection.close()


def raw(server: Server, sent: bytes, *, finish: bool = False) -> bytes:
    """Send bytes as they are and return everything that comes back until the server closes."""
    parts = urlsplit(server.url)
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=20) as connection:
        connection.sendall(sent)
        if finish:
            connection.shutdown(socket.SHUT_WR)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    answer = b""
    while block := connection.recv(1 << 16):
        answer += block
    return answer


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that tells a size and holds no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(64)


def test_ping_answers_200(server: Server) -> None:
    assert ask(server, "GET", "/ping")[0] == 200


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png", "application/x-image", "IMAGE/JPEG; q=1"])
def test_invocations_answer_in_the_hosting_contract(server: Server, jpeg: bytes, content_type: str) -> None:
    status, answer, headers = ask(server, body=jpeg, headers={"Content-Type": content_type})
    assert (status, answer) == (200, {"prediction": ROWS})
    assert headers["Content-Type"] == "application/json"


def test_png_is_taken(server: Server, png: bytes) -> None:
    assert ask(server, body=png, headers={"Content-Type": "image/png"})[1] == {"prediction": ROWS}


def test_a_query_does_not_matter(server: Server) -> None:
    assert ask(server, "GET", "/ping?now=1")[0] == 200


def test_one_connection_serves_many_requests(server: Server, jpeg: bytes) -> None:
    connection = connect(server)
    for _ in range(3):
        connection.request("POST", "/invocations", jpeg, {"Content-Type": "image/jpeg"})
        first = connection.sock
        assert json.loads(connection.getresponse().read()) == {"prediction": ROWS}
        connection.request("GET", "/nothing")
        assert connection.getresponse().read()
        assert connection.sock is first
    connection.close()


def test_unknown_path_is_404(server: Server, jpeg: bytes) -> None:
    status, answer, _ = ask(server, body=jpeg, path="/predict")
    assert status == 404
    assert "/invocations" in answer["error"]


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", "/invocations", "POST"), ("POST", "/ping", "GET")])
def test_wrong_method_is_405(server: Server, method: str, path: str, allowed: str) -> None:
    status, _, headers = ask(server, method, path)
    assert (status, headers["Allow"]) == (405, allowed)


def test_head_gets_no_body(server: Server) -> None:
    assert ask(server, "HEAD", "/ping")[:2] == (200, None)
    assert ask(server, "HEAD", "/invocations")[:2] == (405, None)


def test_method_of_no_known_kind_is_501(server: Server) -> None:
    assert ask(server, "BREW", "/ping")[0] == 501


def test_a_body_without_length_is_411(server: Server) -> None:
    assert b" 411 " in raw(
        server, b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n\r\n", finish=True
    )


def test_a_chunked_body_is_411(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = raw(server, head + b"3\r\nabc\r\n0\r\n\r\n", finish=True)
    assert b" 411 " in answer
    assert b"connection: close" in answer


def test_a_refused_body_that_turns_out_to_be_none_is_not_refused_twice(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(head)
        answer = connection.recv(1 << 16)
        assert b" 411 " in answer
        connection.sendall(b"no chunk at all\r\n")
        answer += rest(connection)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"chunked bodies are not taken" in answer


def test_two_ways_to_tell_the_length_are_400(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 400 " in raw(server, head + b"0\r\n\r\n", finish=True)


@pytest.mark.parametrize("told", ["-1", "x", "+3", "1_0", "", "³"])
def test_a_length_that_is_no_number_is_400(server: Server, told: str) -> None:
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {told}\r\n\r\n"
    assert b" 400 " in raw(server, head.encode("latin-1"), finish=True)


def test_two_lengths_are_400(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"
    assert b" 400 " in raw(server, head, finish=True)


def test_a_request_line_that_cannot_be_read_is_400(server: Server) -> None:
    answer = raw(server, b"GET / ping HTTP/1.1 x\r\n\r\n", finish=True)
    assert b" 400 " in answer
    assert b'{"error": ' in answer


def test_a_body_over_six_mebibytes_is_413_and_the_answer_arrives(server: Server) -> None:
    connection = connect(server)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Type", "image/jpeg")
    connection.putheader("Content-Length", str(6_291_457))
    connection.endheaders()
    connection.send(bytes(6_291_457))
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    assert "6291456" in json.loads(answer.read())["error"]
    connection.close()


def flood(connection: socket.socket, most: int) -> int:
    """Send until the server has had enough; return how much it took."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < most:
            connection.sendall(bytes(1 << 20))
            sent += 1 << 20
    return sent


def test_a_refused_body_without_end_is_not_read_for_ever(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n"
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(head)
        assert b" 413 " in connection.recv(1 << 16)
        assert flood(connection, 1 << 28) < 1 << 28
    assert ask(server, "GET", "/ping")[0] == 200


def test_a_length_with_thousands_of_digits_is_refused(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 9000 + b"\r\n\r\n"
    assert b" 400 " in raw(server, head, finish=True)


def test_a_body_at_the_limit_is_read(serve: Callable[..., Server], jpeg: bytes) -> None:
    server = serve(body_bytes=len(jpeg))
    assert ask(server, body=jpeg, headers={"Content-Type": "image/jpeg"})[0] == 200
    assert ask(server, body=jpeg + b"\0", headers={"Content-Type": "image/jpeg"})[0] == 413


def test_more_than_fifty_megapixels_are_413(server: Server) -> None:
    status, answer, _ = ask(server, body=png_header(10_000, 5_001), headers={"Content-Type": "image/png"})
    assert status == 413
    assert "10000 x 5001" in answer["error"]


def test_a_client_that_asks_first_is_refused_before_it_sends(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    answer = raw(server, head, finish=True)
    assert b" 413 " in answer
    assert b"100 Continue" not in answer


def test_a_client_that_asks_first_may_go_on(server: Server, jpeg: bytes) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: image/jpeg\r\n"
    answer = raw(server, head + b"Content-Length: %d\r\n\r\n" % len(jpeg) + jpeg, finish=True)
    assert answer.startswith(b"HTTP/1.1 100 Continue")
    assert b"HTTP/1.1 200 OK" in answer


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "image/webp"}])
def test_another_content_type_is_415(server: Server, jpeg: bytes, headers: dict[str, str]) -> None:
    status, answer, _ = ask(server, body=jpeg, headers=headers)
    assert status == 415
    assert "image/jpeg" in answer["error"]


def test_another_kind_of_image_is_415_whatever_it_is_called(server: Server) -> None:
    body = b"GIF89a" + bytes([44, 1, 200, 0])
    status, answer, _ = ask(server, body=body, headers={"Content-Type": "image/jpeg"})
    assert status == 415
    assert "image/gif" in answer["error"]


@pytest.mark.parametrize("body", [b"", b"no image at all", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_400(server: Server, body: bytes) -> None:
    status, answer, _ = ask(server, body=body, headers={"Content-Type": "image/jpeg", "Content-Length": str(len(body))})
    assert status == 400
    assert "not a readable image" in answer["error"]


def test_an_image_whose_pixels_cannot_be_read_is_400(server: Server) -> None:
    assert ask(server, body=png_header(10, 10), headers={"Content-Type": "image/png"})[0] == 400


def test_a_jpeg_that_breaks_off_is_400(server: Server, predictor: Any, jpeg: bytes) -> None:
    status, answer, _ = ask(server, body=jpeg[: len(jpeg) * 2 // 3], headers={"Content-Type": "image/jpeg"})
    assert (status, answer) == (400, {"error": "not a readable image: the JPEG breaks off within its pixels"})
    assert predictor.seen == []


def test_a_failing_model_is_500_without_a_traceback(
    server: Server, predictor: Any, jpeg: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    predictor.failure = RuntimeError("/secret/place exploded")
    status, answer, _ = ask(server, body=jpeg, headers={"Content-Type": "image/jpeg"})
    assert (status, answer) == (500, {"error": "the model failed on this image"})
    assert "/secret/place exploded" in capfd.readouterr().err
    predictor.failure = None
    assert ask(server, body=jpeg, headers={"Content-Type": "image/jpeg"})[0] == 200


def test_an_image_that_the_model_refuses_is_400(server: Server, predictor: Any, jpeg: bytes) -> None:
    predictor.failure = ImageError("broken pixels")
    status, answer, _ = ask(server, body=jpeg, headers={"Content-Type": "image/jpeg"})
    assert (status, answer["error"]) == (400, "not a readable image: broken pixels")


def test_a_request_that_trickles_is_cut_off(serve: Callable[..., Server]) -> None:
    server = serve(request_seconds=0.3)
    parts = urlsplit(server.url)
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=20) as connection:
        closed = threading.Event()

        def trickle() -> None:
            while not closed.wait(0.02):
                try:
                    connection.sendall(b"G")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        connection.sendall(b"GET /")
        ended = b""
        with contextlib.suppress(ConnectionResetError):
            ended = connection.recv(100)
        closed.set()
        thread.join()
    assert ended == b""


def test_an_idle_connection_is_closed(serve: Callable[..., Server]) -> None:
    assert raw(serve(idle_seconds=0.05), b"") == b""


def test_a_body_that_never_comes_is_cut_off(serve: Callable[..., Server]) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\nabc"
    assert raw(serve(request_seconds=0.2), head) == b""


def test_a_client_that_goes_away_in_a_body_is_no_error(
    server: Server, jpeg: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\nabc"
    assert raw(server, head, finish=True) == b""
    assert ask(server, body=jpeg, headers={"Content-Type": "image/jpeg"})[0] == 200
    assert capfd.readouterr().err == ""


def test_too_many_connections_are_503_and_free_ones_serve_again(serve: Callable[..., Server]) -> None:
    server = serve(connections=1)
    first = connect(server)
    first.request("GET", "/ping")
    assert first.getresponse().read()
    answer = raw(server, b"")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'{"error": "too many connections"}' in answer
    first.close()
    while ask(server, "GET", "/ping")[0] == 503:
        time.sleep(0.01)


def test_ping_answers_while_the_model_works(server: Server, predictor: Any, jpeg: bytes) -> None:
    predictor.may_answer.clear()
    connection = connect(server)
    connection.request("POST", "/invocations", jpeg, {"Content-Type": "image/jpeg"})
    assert predictor.entered.wait(20)
    assert ask(server, "GET", "/ping")[0] == 200
    predictor.may_answer.set()
    assert connection.getresponse().status == 200
    connection.close()


def test_stop_lets_a_request_finish(predictor: Any, jpeg: bytes) -> None:
    predictor.may_answer.clear()
    server = Server(predictor)
    server.start()
    connection = connect(server)
    connection.request("POST", "/invocations", jpeg, {"Content-Type": "image/jpeg"})
    assert predictor.entered.wait(20)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    predictor.may_answer.set()
    answer = connection.getresponse()
    assert json.loads(answer.read()) == {"prediction": ROWS}
    stopping.join()
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "GET", "/ping")


def gone(server: Server) -> bool:
    """Tell whether the server takes no more connections."""
    try:
        ask(server, "GET", "/ping")
    except ConnectionError:
        return True
    return False


def stopped_beside(server: Server, **how: float) -> threading.Thread:
    """Begin to stop it in another thread; return that once no more connections are taken."""
    stopping = threading.Thread(target=server.stop, kwargs=how)
    stopping.start()
    while not gone(server):
        pass
    return stopping


def test_an_open_connection_may_send_one_last_request(serve: Callable[..., Server], jpeg: bytes) -> None:
    server = serve(farewell_seconds=20)
    connection = connect(server)
    connection.request("GET", "/ping")
    assert connection.getresponse().read()
    stopping = stopped_beside(server, grace=20)
    connection.request("POST", "/invocations", jpeg, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert json.loads(answer.read()) == {"prediction": ROWS}
    # It ends with the answer, and does not wait for the time that it would have given.
    stopping.join(10)
    assert not stopping.is_alive()
    connection.close()


def test_stop_lets_a_refusal_under_way_finish(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n"
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(head)
        answer = connection.recv(1 << 16)
        assert b" 415 " in answer
        stopping = stopped_beside(server)
        connection.sendall(b"abc")
        answer += rest(connection)
        stopping.join()
    assert answer.count(b"HTTP/1.1") == 1
    assert b"send one of image/jpeg" in answer


def test_a_server_that_never_started_stops(predictor: Any) -> None:
    Server(predictor).stop()


def test_a_taken_port_is_an_error(server: Server, predictor: Any) -> None:
    with pytest.raises(ServingError, match=r"cannot listen at 127\.0\.0\.1:\d+.*choose another port"):
        Server(predictor, port=server.address[1])


def test_a_port_that_is_none_is_an_error(predictor: Any) -> None:
    with pytest.raises(ServingError, match="cannot listen"):
        Server(predictor, port=70_000)


def test_it_listens_on_the_loopback_only(server: Server) -> None:
    assert server.address[0] == "127.0.0.1"


def test_version_six_addresses(predictor: Any) -> None:
    try:
        server = Server(predictor, host="::1")
    except ServingError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        assert server.url.startswith("http://[::1]:")
        assert ask(server, "GET", "/ping")[0] == 200


def test_a_fault_of_the_server_itself_is_logged(
    server: Server, predictor: Any, jpeg: bytes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the server")

    monkeypatch.setattr("birdsod.serving._application.check_content_type", broken)
    status, answer, _ = ask(server, body=jpeg, headers={"Content-Type": "image/jpeg"})
    assert (status, answer) == (500, {"error": "a fault of the server"})
    monkeypatch.undo()
    assert ask(server, body=jpeg, headers={"Content-Type": "image/jpeg"})[0] == 200
    assert predictor.seen == [(80, 60)]
    assert "a fault of the server" in capfd.readouterr().err


def test_without_uvicorn_the_cure_is_named(predictor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingDependencyError, match=r"uvicorn is not installed.*birdsod\[serve\]"):
        Server(predictor)


def test_no_part_of_an_answer_waits_for_another_to_be_acknowledged() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
