"""HTTP to one server: JSON in, JSON out, one connection for each request, and every failure said in words.

No proxy is used, no redirect is followed, nothing is tried twice.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from coordspec.errors import InputError
from coordspec.findings.visible import shown

MAX_BYTES: Final = 64 << 20
"""The longest answer that is read."""
_SHOWN: Final = 300
_CHUNK: Final = 1 << 16
_REDIRECTS: Final = range(300, 400)
_OK: Final = 200


class Reply(NamedTuple):
    """The status of an answer, and its body."""

    status: int
    body: bytes


class Client:
    """Asks the server at ``base_url``. It holds no connection, so threads may share it."""

    def __init__(self, base_url: str, timeout_s: float, *, max_bytes: int = MAX_BYTES) -> None:
        """
        Raises:
            InputError: ``base_url`` is no address of a server.
        """
        self.base_url = base_url
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise self.fault(f"is no address: {error}") from error
        if host is None or parts.scheme not in {"http", "https"}:
            raise self.fault("is no address; write one such as http://127.0.0.1:8000/v1")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise self.fault("has more than host, port and path in it, and no server is sent any of that")
        self._host, self._port = host, port
        self._connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._path = parts.path.rstrip("/")

    def fault(self, reason: str) -> InputError:
        """The error that names this server."""
        return InputError(self.base_url, reason)

    def get(self, path: str) -> Any:
        """The JSON value at a path below ``base_url``.

        Raises:
            InputError: the server cannot be reached in time, refuses, or sends no JSON.
        """
        return self._json("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        """The JSON value that answers another one.

        Raises:
            InputError: as ``get``.
        """
        return self._json("POST", path, body)

    def ask(self, method: str, path: str, body: object) -> Reply:
        """What comes back, whatever its status is.

        Raises:
            InputError: the server cannot be reached in time, redirects, or sends too much.
        """
        deadline = time.monotonic() + self._timeout_s
        connection = self._connection(self._host, self._port, timeout=self._timeout_s)
        try:
            return self._exchange(connection, deadline, method, path, body)
        except TimeoutError as error:
            limit = f"{self._timeout_s:g} s (rollout_matching.vllm.timeout_s)"
            raise self.fault(f"{path} was not answered within {limit}") from error
        except OSError as error:
            said = _line(str(error) or type(error).__name__)
            raise self.fault(f"cannot be reached: {said}; is the vLLM server running there?") from error
        except http.client.HTTPException as error:
            raise self.fault(f"{path} was answered with broken HTTP: {_line(str(error))}") from error
        finally:
            connection.close()

    def refusal(self, path: str, reply: Reply) -> InputError:
        """The error for an answer with another status than 200, with what the server says."""
        said = _message(reply.body)
        return self.fault(f"{path} was answered with status {reply.status}{f': {said}' if said else ''}")

    def _json(self, method: str, path: str, body: object) -> Any:
        reply = self.ask(method, path, body)
        if reply.status != _OK:
            raise self.refusal(path, reply)
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise self.fault(f"{path} was answered with no JSON: {_line(str(error))}") from error

    def _exchange(
        self, connection: http.client.HTTPConnection, deadline: float, method: str, path: str, body: object
    ) -> Reply:
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **({} if sent is None else {"Content-Type": "application/json"})}
        connection.request(method, self._path + path, sent, headers)
        socket = connection.sock  # the connection lets go of it where the server closes behind its answer
        socket.settimeout(_left(deadline))
        response = connection.getresponse()
        if response.status in _REDIRECTS:
            to = _line(response.headers.get("Location", "nowhere"))
            raise self.fault(f"{path} is redirected to {to}, and no redirect is followed; name that address itself")
        found = bytearray()
        while True:
            socket.settimeout(_left(deadline))
            data = response.read1(_CHUNK)
            if not data:
                break
            found += data
            if len(found) > self._max_bytes:
                raise self.fault(f"{path} was answered with more than {self._max_bytes >> 20} MiB")
        if response.length:
            raise http.client.IncompleteRead(bytes(found), response.length)
        return Reply(response.status, bytes(found))


def _left(deadline: float) -> float:
    """The seconds that are left.

    Raises:
        TimeoutError: none are.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _message(body: bytes) -> str:
    """What an error of vLLM says, or the text of another answer."""
    text = body[: _SHOWN * 8].decode("utf-8", "replace")
    try:
        value = json.loads(body)
        text = str(value["error"]["message"])
    except (ValueError, RecursionError, KeyError, TypeError):
        pass
    return _line(text)


def _line(text: str) -> str:
    """Foreign text as one line that can be shown."""
    return shown(" ".join(text.split()), _SHOWN)
