"""Signers that an operator pins beside the reconciler: the ones who may begin, and who get in again whatever git says."""

from pathlib import Path

from agent.protocol.errors import InputError
from reconciler.pipeline.manifests import Document, Layout, parse_file, verdict
from reconciler.pipeline.validation import validate

PINNED_LIMIT = 1024 * 1024
"""Bytes of the file: hundreds of keys."""


def read_pinned(file: str) -> tuple[Document, ...]:
    """Return the signers in a file of Signer manifests; none where no file is named.

    Raises:
        InputError: it can't be read, or is something else; a reconciler that was told of signers never runs without them.
    """
    if not file:
        return ()
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        message = f"{file}: {error.strerror or error}; [signatures] signers names a file of Signer manifests"
        raise InputError(message) from error
    if len(data) > PINNED_LIMIT:
        message = f"{file}: more than {PINNED_LIMIT} bytes; this is no file of signers"
        raise InputError(message)
    parsed = parse_file(file, data)
    found = [*parsed.findings, *(one for document in parsed.documents for one in validate(document, Layout()) if one.action == "deny")]
    for one in found:
        shown = verdict(one, lambda _: data)
        message = f"{file}:{shown.line}:{shown.column}: {shown.message}; {shown.remedy}"
        raise InputError(message)
    if not parsed.documents or any(document.kind != "Signer" for document in parsed.documents):
        message = f"{file}: it must hold manifests of kind Signer and nothing else; `ordain signers add --stdout` writes one"
        raise InputError(message)
    return parsed.documents
