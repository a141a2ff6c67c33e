"""Asking a running OPA: the only module that knows opa-python-client, and of that only `query_rule`.

The library answers `{}` where a rule is undefined, which would read as "no denials": here that is an error.
Built-in errors are strict, or they too would read as "no denials".
"""

import sys
from types import ModuleType
from typing import Any

import msgspec
import requests

_UNUSED = "opa_client.opa_async"
"""The library's other client, for which it imports aiohttp: a quarter of the time that a check takes to start."""
STRICT: dict[str, Any] = {"strict-builtin-errors": "true"}
MESSAGE_LIMIT = 300
"""Characters of OPA's own words that are shown: they may quote the input."""


class TroubleError(Exception):
    """OPA did not answer a question; `code` is what a finding says of it: failed, timeout, memory or gone."""

    code = "failed"


class TimedOutError(TroubleError):
    """OPA took too long; it stops working on a question when its asker leaves."""

    code = "timeout"


class MemoryTakenError(TroubleError):
    """OPA took more memory than it may while it worked on a question, and was ended."""

    code = "memory"


class GoneError(TroubleError):
    """OPA can't be reached: it died, or is only just starting."""

    code = "gone"


def _client(**options: Any) -> Any:
    """Return a client of the library, imported without its other one."""
    spared = "opa_client" not in sys.modules
    if spared:
        sys.modules[_UNUSED] = ModuleType(_UNUSED)
        sys.modules[_UNUSED].AsyncOpaClient = None  # type: ignore[attr-defined]
    try:
        from opa_client.opa import OpaClient  # noqa: PLC0415 - after what stands in for its other client
    finally:
        if spared:
            sys.modules.pop(_UNUSED, None)  # another thread may have been here too
    return OpaClient(**options)


class Connection:
    """One kept-alive connection to one OPA. Not for several threads at once."""

    def __init__(self, *, port: int, token: str) -> None:
        self._client = _client(host="127.0.0.1", port=port, token=token, retries=0)
        # A proxy or a .netrc of the environment must not come between, or take the token's place.
        session = self._client._session  # noqa: SLF001 - the library has no other way
        session.trust_env = False
        self._post = session.post
        session.post = self._encoded

    def close(self) -> None:
        """Close the connection."""
        self._client.close_connection()

    def _encoded(self, url: str, *, json: object, timeout: float) -> requests.Response:
        """Post a question as JSON that msgspec wrote: Python's own encoder takes ten times as long, and lets nobody else run."""
        try:
            content: dict[str, Any] = {"data": msgspec.json.encode(json), "headers": {"Content-Type": "application/json"}}
        except (ValueError, TypeError, RecursionError):  # an odd value, which only Python's own takes
            content = {"json": json}
        answer: requests.Response = self._post(url, timeout=timeout, **content)
        return answer

    def query(self, package: str, rule: str, question: object, *, seconds: float) -> Any:
        """Return the value of `rule` in `package` (`ordain.main`), with `question` as input.

        Raises:
            TimedOutError: no answer within `seconds`.
            GoneError: nothing answers on this connection.
            TroubleError: an error while evaluating, a refusal, or a rule without a value.
        """
        self._client.timeout = seconds
        try:
            answer = self._client.query_rule(question, package, rule, STRICT)
        except requests.Timeout as error:
            message = f"no answer within {seconds:g} s"
            raise TimedOutError(message) from error
        except requests.HTTPError as error:
            raise TroubleError(_reason(error.response)) from error
        except requests.exceptions.JSONDecodeError as error:
            message = "its answer is not JSON"
            raise TroubleError(message) from error
        except requests.ConnectionError as error:
            message = "OPA can't be reached"
            raise GoneError(message) from error
        except (requests.RequestException, ValueError, RecursionError) as error:
            message = f"the question can't be put: {error}"
            raise TroubleError(message[:MESSAGE_LIMIT]) from error
        if not isinstance(answer, dict) or "result" not in answer:
            message = f"{package}.{rule} has no value"
            raise TroubleError(message)
        return answer["result"]


def _reason(response: requests.Response | None) -> str:
    """Return what OPA says went wrong: the first of its errors, else its message, else the status."""
    if response is None:
        return "no reason given"
    try:
        body = response.json()
        errors = body.get("errors") or [{}]
        reason = errors[0].get("message") or body.get("message")
    except (ValueError, AttributeError, KeyError, IndexError, TypeError):
        reason = None
    return str(reason or f"HTTP status {response.status_code}")[:MESSAGE_LIMIT]
