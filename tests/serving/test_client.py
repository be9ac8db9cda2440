"""The client: what it sends, what it makes of an answer, and how it fails."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdsod.classes import ClassTable
from birdsod.errors import ImageError, ServingError
from birdsod.image import as_rgb, encode, read_size
from birdsod.serving import Client, Limits, Server
from birdsod.serving._payload import payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

CLASSES = ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker"))


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, CLASSES) as opened:
        yield opened


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Answer each connection with fixed bytes and close it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 20)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_an_answer_becomes_detections_in_pixels(client: Client, jpeg: bytes) -> None:
    found = client.predict(jpeg)
    assert found.names == ["036.Northern_Flicker", "017.Cardinal"]
    assert found.xyxy.tolist() == [[20.0, 30.0, 60.0, 60.0], [0.0, 0.0, 40.0, 15.0]]
    assert (found.width, found.height, client.classes) == (80, 60, CLASSES)


def test_path_bytes_and_array_are_the_same(
    client: Client, predictor: Any, png: bytes, pixels: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "bird.png").write_bytes(png)
    for image in (tmp_path / "bird.png", str(tmp_path / "bird.png"), png, pixels[..., ::-1]):
        assert len(client.predict(image)) == 2
    assert predictor.seen == [(80, 60)] * 4


def test_several_images_keep_their_order(client: Client) -> None:
    images = [np.full((10 + k, 20, 3), k, np.uint8) for k in range(12)]
    assert [found.height for found in client.predict_batch(images, jobs=3)] == list(range(10, 22))


def test_connections_are_used_again(client: Client, jpeg: bytes) -> None:
    client.predict(jpeg)
    first = client._idle[0].sock
    client.predict(jpeg)
    assert client._idle[0].sock is first


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(
    serve: Callable[..., Server], jpeg: bytes
) -> None:
    with Client(serve(idle_seconds=0.05).url, CLASSES) as client:
        client.predict(jpeg)
        sock = client._idle[0].sock
        assert sock is not None
        assert sock.recv(1) == b""
        assert len(client.predict(jpeg)) == 2


def test_predicting_on_a_closed_client_is_an_error(client: Client, jpeg: bytes) -> None:
    client.predict(jpeg)
    client.close()
    client.close()
    with pytest.raises(ServingError, match="is closed"):
        client.predict(jpeg)


def test_closing_during_a_request_lets_it_finish(client: Client, predictor: Any, jpeg: bytes) -> None:
    predictor.may_answer.clear()
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(client.predict(jpeg))))
    thread.start()
    assert predictor.entered.wait(20)
    client.close()
    predictor.may_answer.set()
    thread.join()
    assert (found, client._idle) == ([2], [])


def test_no_server_is_an_error(jpeg: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with Client(url, CLASSES) as client:
        assert not client.ping()
        with pytest.raises(ServingError, match="no answer from http://127"):
            client.predict(jpeg)


def test_an_answer_with_an_error_is_told_with_its_reason(client: Client, predictor: Any, jpeg: bytes) -> None:
    predictor.failure = RuntimeError("inside")
    with pytest.raises(ServingError, match=r"answered 500. Likely cause: the model failed on this image"):
        client.predict(jpeg)


def test_an_error_that_is_no_json_is_told_as_it_is(jpeg: bytes) -> None:
    answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops"
    with answering(answer) as url, Client(url, CLASSES) as client, pytest.raises(ServingError, match=r"502.*oops"):
        client.predict(jpeg)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"prediction": 3}', b'{"prediction": [[9, 0.5, 0, 0, 1, 1]]}', b'{"prediction": [[0]]}'],
)
def test_an_answer_that_is_no_prediction_is_an_error(body: bytes, jpeg: bytes) -> None:
    with answering(ok(body)) as url, Client(url, CLASSES) as client, pytest.raises(ServingError, match="no prediction"):
        client.predict(jpeg)


def test_an_interrupt_leaves_no_half_used_connection(
    client: Client, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("birdsod.serving.client._exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.predict(jpeg)
    assert client._idle == []


@pytest.mark.parametrize("url", ["https://127.0.0.1", "127.0.0.1:8080", "http://", "http://x:port"])
def test_an_address_that_is_none_of_http_is_an_error(url: str) -> None:
    with pytest.raises(ServingError, match="not an address"):
        Client(url, CLASSES)


def test_a_missing_file_is_an_image_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        client.predict(tmp_path / "none.jpg")


def test_a_jpeg_goes_as_it_is(jpeg: bytes) -> None:
    sent = payload(jpeg, Limits())
    assert (sent.body, sent.content_type, sent.width, sent.height) == (jpeg, "image/jpeg", 80, 60)


def test_an_array_loses_nothing_on_its_way(pixels: npt.NDArray[np.uint8]) -> None:
    sent = payload(pixels, Limits())
    assert sent.content_type == "image/png"
    assert (as_rgb(sent.body) == pixels).all()


def test_another_kind_of_file_is_encoded_anew(pixels: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(tmp_path / "bird.bmp")
    sent = payload(tmp_path / "bird.bmp", Limits())
    assert sent.content_type == "image/png"
    assert (as_rgb(sent.body) == pixels).all()


def test_noise_above_the_limit_is_sent_as_jpeg_and_shrunk() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    as_jpeg = payload(noise, Limits(body_bytes=150_000))
    assert (as_jpeg.content_type, read_size(as_jpeg.body)) == ("image/jpeg", (400, 300))
    shrunk = payload(noise, Limits(body_bytes=20_000))
    assert (shrunk.width, shrunk.height) == (400, 300)
    assert read_size(shrunk.body).width < 400
    assert len(shrunk.body) <= 20_000


@given(
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    body_bytes=st.integers(1_000, 20_000),
    pixels=st.integers(1, 4000),
)
def test_every_image_comes_within_the_limits(width: int, height: int, body_bytes: int, pixels: int) -> None:
    image = np.random.default_rng(width * height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    limits = Limits(body_bytes=body_bytes, pixels=pixels)
    for source in (image, encode(image)):
        sent = payload(source, limits)
        size = read_size(sent.body)
        assert (sent.width, sent.height) == (width, height)
        assert len(sent.body) <= body_bytes
        assert size.width * size.height <= max(pixels, width, height)
