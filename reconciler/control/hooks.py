"""Webhooks of forges: who signed one, whether it came before, and what it says.

Each forge signs in its own way; each is checked over the bytes as they came, in constant time, before anything is parsed.

    github    X-Hub-Signature-256: sha256=<hex>                     HMAC-SHA256 of the body
    gitea     X-Forgejo-Signature, else X-Gitea-Signature: <hex>    HMAC-SHA256 of the body
    generic   webhook-id, webhook-timestamp, webhook-signature      https://www.standardwebhooks.com: HMAC-SHA256 of id.timestamp.body
    gitlab    as generic where the hook has a signing token, else X-Gitlab-Token: the secret itself

A forge that signs neither a time nor a number (GitHub, Gitea, GitLab's token) is protected from replay by its body: the same one
counts once while it is remembered. What is taken is a hint and nothing more, so a replay that was forgotten costs one fetch.
"""

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from agent.protocol.errors import MalformedError, RefusedError

TOLERANCE = 300
"""Seconds that the clock of a forge may be away from ours: what Standard Webhooks recommends."""
REMEMBERED = 10_000
"""Webhooks that are known again: a busy repository has fewer pushes in a month. Half a megabyte."""
REF_LIMIT = 250
"""Characters of a branch's full name; git takes file names, which are no longer."""
STANDARD_PREFIX = "whsec_"
BRANCH = "refs/heads/"

Check = Callable[[Mapping[str, str], bytes, bytes, int], str]
"""Given headers, body, secret and the time (Unix seconds), returns what makes this delivery one of a kind, or raises `RefusedError`."""


class _Push(msgspec.Struct):
    """What counts in the body of a push, for each of these forges; the rest of it is passed over."""

    ref: str = ""


def _hex_hmac(header: str, prefix: str = "") -> Check:
    def check(headers: Mapping[str, str], body: bytes, secret: bytes, now: int) -> str:
        del now
        wanted = prefix + hmac.new(secret, body, hashlib.sha256).hexdigest()
        _same(headers.get(header, ""), wanted, header)
        return hashlib.sha256(body).hexdigest()

    return check


def _gitea(headers: Mapping[str, str], body: bytes, secret: bytes, now: int) -> str:
    header = "X-Forgejo-Signature" if "X-Forgejo-Signature" in headers else "X-Gitea-Signature"
    return _hex_hmac(header)(headers, body, secret, now)


def _standard(headers: Mapping[str, str], body: bytes, secret: bytes, now: int) -> str:
    number, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signed = b".".join((number.encode(), sent.encode(), body))
    wanted = "v1," + base64.b64encode(hmac.new(_standard_key(secret), signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split()
    if not any([hmac.compare_digest(one.encode(), wanted.encode()) for one in given]):  # noqa: C419 - each is compared, whichever fits
        raise RefusedError(_unsigned("webhook-signature"))
    if not sent.isdecimal() or abs(int(sent[:12]) - now) > TOLERANCE:
        message = f"webhook-timestamp is more than {TOLERANCE} s away from the clock here: an old delivery, or a clock that is wrong"
        raise RefusedError(message)
    return number


def _standard_key(secret: bytes) -> bytes:
    """Return the key of a secret as Standard Webhooks writes them (`whsec_` and base64), or the secret as it is."""
    text = secret.decode("latin-1").removeprefix(STANDARD_PREFIX)
    if len(text) == len(secret):
        return secret
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return secret


def _gitlab(headers: Mapping[str, str], body: bytes, secret: bytes, now: int) -> str:
    if "webhook-signature" in headers:
        return _standard(headers, body, secret, now)
    _same(headers.get("X-Gitlab-Token", ""), secret.decode("latin-1"), "X-Gitlab-Token")
    return hashlib.sha256(body).hexdigest()


def _same(given: str, wanted: str, header: str) -> None:
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode("latin-1")):
        raise RefusedError(_unsigned(header))


def _unsigned(header: str) -> str:
    return f"{header} is missing or doesn't fit; the secret there and the one in the settings of ordain serve must be the same"


CHECKS: Mapping[str, Check] = {
    "github": _hex_hmac("X-Hub-Signature-256", "sha256="),
    "gitlab": _gitlab,
    "gitea": _gitea,
    "generic": _standard,
}


class Seen:
    """The deliveries that were taken last."""

    def __init__(self) -> None:
        """None yet."""
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def first_time(self, forge: str, delivery: str) -> bool:
        """Return whether this delivery is new, and remember it."""
        key = (forge, delivery)
        if key in self._known:
            return False
        self._known[key] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return True


def pushed_branch(body: bytes, forge: str) -> str | None:
    """Return the full name of the branch that was pushed to, None if the webhook is about something else.

    A generic webhook that names no branch is about any: it gives an empty name.

    Raises:
        MalformedError: not JSON, or `ref` is no text.
    """
    try:
        ref = msgspec.json.decode(body, type=_Push).ref
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f"not a webhook in JSON ({error}); choose the content type application/json for it"
        raise MalformedError(message) from error
    if forge == "generic" and not ref:
        return ""
    return ref if ref.startswith(BRANCH) and len(ref) <= REF_LIMIT and ref.isprintable() else None
