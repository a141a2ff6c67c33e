"""Whether signatures are on, and what of: one line of `ordain.yaml`."""

from typing import Any

from reconciler.pipeline.manifests import Document


def is_required(repository: Document | None) -> bool:
    """Return whether an `ordain.yaml` turns signatures on."""
    return _stated(repository).get("required") is True


def co_signed(repository: Document | None) -> tuple[str, ...]:
    """Return the patterns of paths that two must sign, as an `ordain.yaml` states them."""
    globs = _stated(repository).get("coSigned")
    return tuple(glob for glob in globs if isinstance(glob, str)) if isinstance(globs, list) else ()


def _stated(repository: Document | None) -> dict[str, Any]:
    stated = repository.spec.get("signatures") if repository is not None else None
    return stated if isinstance(stated, dict) else {}
