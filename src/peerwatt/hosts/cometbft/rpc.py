"""JSON-RPC to CometBFT nodes over HTTP: one node, or several of which one answers.

Knows the requests' form and the standard library's HTTP; what answers mean is for others. A
connection stays open, and is opened anew once where the node closed it. One thread's.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1 << 28


class RpcError(ValueError):
    """Nodes could not be asked: one line that says which, and why."""


class Unusable(RpcError):  # noqa: N818
    """A node that cannot be reached, or says what cannot be believed; another one may do."""


class Refused(RpcError):  # noqa: N818
    """A node understood the call and will not do it; `why` is its own words."""

    def __init__(self, url: str, method: str, why: str) -> None:
        super().__init__(f"{url}: {method}: {why}")
        self.why = why


class Rpc:
    """One node.

    Args:
        url: `http://host:port`.
        timeout_s: how long the node may take to answer.

    Raises:
        RpcError: the URL is none of that form.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        host, port = _place(url)
        self.url = url.rstrip("/")
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._number = 0

    def close(self) -> None:
        """Hang up; the next call connects again."""
        self._connection.close()

    def call(self, method: str, **params: Any) -> Any:
        """The result of a call.

        Raises:
            Unusable: the node could not be asked, did not answer in time or not to the call.
            Refused: it refused the call.
        """
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        body = self._post(json.dumps(request).encode())
        try:
            answer = json.loads(body)
            known = answer["id"] == self._number
            error = answer.get("error")
            if known and error is None:
                return answer["result"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Unusable(f"{self.url}: answers {method} with what is no JSON-RPC") from None
        if not known:
            raise Unusable(f"{self.url}: answers {method} with what answers another call")
        raise Refused(self.url, method, _words(error))

    def _post(self, body: bytes) -> bytes:
        try:
            return self._post_once(body)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            pass  # an idle connection was closed by the node
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        try:
            return self._post_once(body)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _post_once(self, body: bytes) -> bytes:
        try:
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
            data = self._connection.getresponse().read(MAX_ANSWER_BYTES + 1)
        except BaseException:
            self.close()
            raise
        if len(data) > MAX_ANSWER_BYTES:
            self.close()
            raise Unusable(f"{self.url}: answers with more than {MAX_ANSWER_BYTES} bytes")
        return data

    def _unreachable(self, error: Exception) -> Unusable:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Unusable(f"{self.url}: cannot be reached ({why})")


class Nodes:
    """Several nodes of one chain; the one that answered last is asked first.

    Args:
        urls: where they are.
        chain_id: the chain that they must be of.
        timeout_s: how long each may take to answer.

    Raises:
        RpcError: there are none, or a URL is none.
    """

    def __init__(self, urls: Sequence[str], chain_id: str, timeout_s: float = TIMEOUT_S) -> None:
        if not urls:
            raise RpcError("nodes: there must be one at least")
        self.chain_id = chain_id
        self._nodes = [Rpc(url, timeout_s) for url in urls]
        self._checked: set[str] = set()

    def close(self) -> None:
        """Hang up everywhere."""
        for node in self._nodes:
            node.close()

    def call(self, method: str, **params: Any) -> Any:
        """The result of a call to the first node that can be reached; as `ask` raises."""
        return self.ask(lambda node: node.call(method, **params))

    def ask(self, question: Callable[[Rpc], T]) -> T:
        """The answer of the first node that can give one, which may take it several calls.

        Raises:
            Unusable: none can; says why of each.
            Refused: a node refused a call.
            RpcError: a node is of another chain.
        """
        failures = []
        for node in tuple(self._nodes):
            try:
                self._check(node)
                answer = question(node)
            except Unusable as error:
                failures.append(str(error))
                continue
            if node is not self._nodes[0]:
                self._nodes.remove(node)
                self._nodes.insert(0, node)
            return answer
        raise Unusable("; ".join(failures))

    def _check(self, node: Rpc) -> None:
        """Have a node say which chain it is of, once."""
        if node.url in self._checked:
            return
        known = chain_of(node.call("status"))
        if known != self.chain_id:
            raise RpcError(f"{node.url}: is a node of chain '{known}', not of '{self.chain_id}'")
        self._checked.add(node.url)


def chain_of(status: Any) -> str:
    """The chain that a node's status names."""
    return str(field(status, "node_info", "network"))


def field(answer: Any, *path: str | int) -> Any:
    """What stands at a place of an answer; Unusable if nothing does."""
    found = answer
    try:
        for step in path:
            found = found[step]
    except (KeyError, IndexError, TypeError):
        where = ".".join(map(str, path))
        raise Unusable(f"a node's answer has no {where}") from None
    return found


def number(answer: Any, *path: str | int) -> int:
    """A whole number of an answer, which writes large ones as text; Unusable if it is none."""
    found = field(answer, *path)
    try:
        return int(found)
    except (ValueError, TypeError):
        where = ".".join(map(str, path))
        raise Unusable(f"a node's answer has no number as {where}") from None


def _place(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise RpcError(f"node: '{url}' must be http://HOST:PORT")


def _words(error: Any) -> str:
    """What an error of JSON-RPC says."""
    if not isinstance(error, dict):
        return str(error)
    parts = (str(error.get("message", "")), str(error.get("data", "")))
    return ": ".join(part for part in parts if part)
