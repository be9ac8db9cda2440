"""S3, IAM and STS, which moto answers for, called in this process as a WSGI application."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from birdsod.errors import BirdsodError, MissingDependencyError
from birdsod.testing._fake_sagemaker.loopback import Answer

if TYPE_CHECKING:
    from birdsod.testing._fake_sagemaker.loopback import Request

__all__ = ["MotoServices"]

_HOP = {"content-length", "connection", "transfer-encoding", "date", "server"}
_FIRST_ACCOUNT = 123456789012
_TAKEN: set[str] = set()
_GUARD = threading.Lock()


class MotoServices:
    """One account of moto, whose state is this process's and is kept apart by accounts.

    Parameters
    ----------
    account : str or None
        The account; a free one where it is left out.

    Raises
    ------
    MissingDependencyError
        If moto is not installed.
    BirdsodError
        If another fake of this process has that account.
    """

    def __init__(self, account: str | None) -> None:
        try:
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        except ImportError as error:
            cure = 'pip install "birdsod[testing]"'
            raise MissingDependencyError("moto is not installed", cause=str(error), cure=cure) from error
        self.account = _take(account)
        self._app = DomainDispatcherApplication(create_backend_app)
        _forget(self.account)

    def answer(self, request: Request) -> Answer:
        """Return what moto answers.

        Parameters
        ----------
        request : Request
            For S3, IAM or STS.

        Returns
        -------
        Answer
        """
        told: list[tuple[int, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
            told.append((int(status[:3]), headers))

        parts = self._app(self._environment(request), start)
        try:
            body = b"".join(parts)
        finally:
            getattr(parts, "close", lambda: None)()
        status, headers = told[-1]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), len(body))
        kept = tuple((name, str(value)) for name, value in headers if name.lower() not in _HOP)
        return Answer(status, kept, body, length if request.method == "HEAD" else None)

    def close(self) -> None:
        """Forget all that the account holds."""
        _forget(self.account)
        with _GUARD:
            _TAKEN.discard(self.account)

    def _environment(self, request: Request) -> dict[str, Any]:
        split = urlsplit(request.target)
        host, _, port = request.headers.get("Host", "127.0.0.1:80").partition(":")
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
        return {
            **headers,
            "HTTP_X_MOTO_ACCOUNT_ID": self.account,
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            # A WSGI application gets bytes as Latin-1.
            "PATH_INFO": unquote(split.path).encode().decode("latin-1"),
            "QUERY_STRING": split.query,
            "RAW_URI": request.target,
            "REQUEST_URI": request.target,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "SERVER_NAME": host,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }


def _take(account: str | None) -> str:
    with _GUARD:
        number = _FIRST_ACCOUNT
        while account is None and str(number) in _TAKEN:
            number += 1
        chosen = str(number) if account is None else account
        if chosen in _TAKEN:
            cure = "leave account= out, or give another"
            raise BirdsodError("another fake of this process has that account", value=chosen, cure=cure)
        _TAKEN.add(chosen)
        return chosen


def _forget(account: str) -> None:
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends
    from moto.sts.models import sts_backends

    for backends in (iam_backends, s3_backends, sts_backends):
        if account in backends:
            for backend in list(backends[account].values()):
                backend.reset()
            del backends[account]
