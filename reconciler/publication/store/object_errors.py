"""What object stores say when something is wrong, as one error that tells what to do.

Of an answer only its code and message are passed on: the rest (string to sign, request ids, addresses with keys) is nobody's business.
"""

import re

from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

from agent.protocol.errors import RetryError

_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]{0,40})")
_CAUSE = re.compile(r'message: "([^"]{1,200})"')
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")
"""What S3 says of two writes at the same instant: neither lost yet, and one of them is to be made again."""


def no_bucket(error: Exception) -> bool:
    """Return whether it is the bucket that is missing."""
    return any(word in str(error) for word in _NO_BUCKET)


def is_passing(error: Exception) -> bool:
    """Return whether the same put may do better in a moment."""
    text = str(error)
    if any(word in text for word in _CONFLICTS):
        return True
    status = _STATUS.search(text)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | NotSupportedError | FileNotFoundError):
        return False
    return status is None or status[1].startswith(("5", "429", "408"))


def trouble(url: str, error: Exception, *, key: str = "") -> RetryError:
    """Return an object store's error with what to do about it."""
    said = _said(str(error))
    if no_bucket(error):
        advice = "there is no such bucket: make it, or see to [store] url; then it goes on by itself"
    elif isinstance(error, PermissionDeniedError | UnauthenticatedError):
        advice = "the object store refuses these credentials: see to them, to the bucket's policy and to this machine's clock"
    elif isinstance(error, NotSupportedError):
        advice = "this object store can't do what ordain needs of it; see docs/object-stores.md"
    else:
        advice = "it is tried again; see to the object store and the way to it ([store] endpoint)"
    return RetryError(f"{url}{'/' if key else ''}{key}: {said}; {advice}")


def _said(text: str) -> str:
    """Return what an error says in one line."""
    code, message, status = _CODE.search(text), _MESSAGE.search(text), _STATUS.search(text)
    if code:
        return f"{code[1]}: {message[1].rstrip('.')}" if message else code[1]
    if status:
        return status[1].strip()
    cause = _CAUSE.search(text)
    return cause[1] if cause else text.partition("\n")[0].rpartition(" - ")[2][:200]
