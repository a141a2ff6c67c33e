"""SOPS files as they stand in git: their values in order, and the data key as it is encrypted to each age recipient.

Nothing is decrypted here. Hosts get what they need of a file in one plain form, whatever it was written in: they have no reader
of YAML, and the check over all values depends on their order. https://getsops.io/docs/
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agent.protocol.errors import MalformedError
from agent.protocol.state import SopsLeaf, SopsSource
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import did_you_mean
from reconciler.pipeline.nodes import ReadingRefused
from reconciler.pipeline.reading import read

SECTION = "sops"
"""Where SOPS keeps what it needs itself; in dotenv files, how such names begin."""
BINARY = "data"
"""The only value of a file that SOPS took for bytes."""
ENCRYPTED = re.compile(r"ENC\[AES256_GCM,data:[A-Za-z0-9+/=]*,iv:[A-Za-z0-9+/=]+,tag:[A-Za-z0-9+/=]+,type:[a-z]+\]")
_DOTENV = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(.*)")
_AGE_FIELD = re.compile(r"sops_age__list_([0-9]{1,4})__map_(enc|recipient)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SopsFile:
    """A SOPS file: its values by the keys that lead to them (with dots between), and whom it is encrypted to."""

    names: tuple[str, ...]
    leaves: tuple[SopsLeaf, ...]
    keys: tuple[str, ...]
    recipients: tuple[str, ...]
    mac: str
    last_modified: str
    mac_only_encrypted: bool

    def source(self, key: str) -> SopsSource:
        """Return what a host needs to know one value; without a key that of the only one there is.

        Raises:
            MalformedError: there is no such value, several, or one that is not encrypted.
        """
        wanted = self._wanted(key)
        if ENCRYPTED.fullmatch(self.leaves[wanted].value) is None:
            message = f"{self.names[wanted]} is not encrypted in it"
            raise MalformedError(message)
        return SopsSource(
            leaves=list(self.leaves),
            wanted=wanted,
            keys=list(self.keys),
            mac=self.mac,
            last_modified=self.last_modified,
            mac_only_encrypted=self.mac_only_encrypted,
        )

    def _wanted(self, key: str) -> int:
        if not key and len(self.names) != 1:
            message = f"it holds {len(self.names)} values, and `key` must say which is meant; {did_you_mean('', self.names)}"
            raise MalformedError(message)
        if key and key not in self.names:
            message = f"it has no value {key}; {did_you_mean(key, self.names)}"
            raise MalformedError(message)
        return self.names.index(key) if key else 0


def parse(data: bytes) -> SopsFile:
    """Return a SOPS file of any of its forms: YAML, JSON, dotenv, or JSON around bytes.

    Raises:
        MalformedError: it is none, or has no age recipient of its own (groups of keys are not read).
    """
    tree = _tree(data)
    stated = manifest.mapping(tree.get(SECTION))
    if not stated:
        message = "it is neither an age file nor one of SOPS: it would be in git, and on every host, as it stands"
        raise MalformedError(message)
    values = {name: value for name, value in tree.items() if name != SECTION}
    found = list(_leaves(values, (), ""))
    keys = [manifest.mapping(one) for one in manifest.sequence(stated.get("age"))]
    sealed = [key for key in keys if manifest.text(key.get("enc"))]
    mac, modified = manifest.text(stated.get("mac")), manifest.text(stated.get("lastmodified"))
    if stated.get("key_groups") or not sealed:
        message = "SOPS encrypted its data key to no age recipient; add one (`sops --age`), for hosts read no other, and no groups of keys"
        raise MalformedError(message)
    if not found or not mac or not modified:
        message = "what SOPS keeps in it is not whole (values, mac, lastmodified); encrypt the file again"
        raise MalformedError(message)
    return SopsFile(
        names=tuple(name for name, _ in found),
        leaves=tuple(leaf for _, leaf in found),
        keys=tuple(manifest.text(key["enc"]) for key in sealed),
        recipients=tuple(manifest.text(key.get("recipient")) for key in sealed),
        mac=mac,
        last_modified=modified,
        mac_only_encrypted=str(stated.get("mac_only_encrypted", "")).lower() == "true",
    )


def _tree(data: bytes) -> Mapping[str, Any]:
    """Return a file as one mapping, in its order."""
    lines = data.decode(errors="replace").splitlines()
    if any(line.startswith("sops_mac=") for line in lines):
        return _dotenv(lines)
    try:
        documents = read(data)
    except ReadingRefused as error:
        message = f"it is no age file, and SOPS can't have written it: {error}"
        raise MalformedError(message) from error
    return documents[0] if len(documents) == 1 and isinstance(documents[0], dict) else {}


def _dotenv(lines: list[str]) -> Mapping[str, Any]:
    """Return a dotenv file as SOPS would have written it in YAML."""
    plain = {found[1]: found[2] for line in lines if (found := _DOTENV.fullmatch(line))}
    unfolded = {name: value.replace("\\n", "\n") for name, value in plain.items()}
    keys: dict[str, dict[str, str]] = {}
    for name, value in unfolded.items():
        if found := _AGE_FIELD.fullmatch(name):
            keys.setdefault(found[1], {})[found[2]] = value
    stated = {name.removeprefix("sops_"): value for name, value in unfolded.items() if name.startswith("sops_")}
    values = {name: value for name, value in unfolded.items() if not name.startswith("sops_")}
    return {**values, SECTION: {**stated, "age": list(keys.values())}}


def _leaves(value: Any, path: tuple[str, ...], name: str) -> Iterator[tuple[str, SopsLeaf]]:
    """Yield (name, leaf) of each value, in order. What is null is no part of what SOPS encrypts or checks."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key), f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, path, f"{name}.{index}" if name else str(index))
    elif value is not None:
        yield name, SopsLeaf(path=list(path), value=_written(value))


def _written(value: Any) -> str:
    """Return a plain value as SOPS writes it into its check: Go's shortest number without an exponent, `True` and `False`."""
    if isinstance(value, float):
        shortest = format(Decimal(json.dumps(value)), "f") if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124 - NaN
        return shortest.rstrip("0").rstrip(".") if "." in shortest else shortest
    return str(value)
