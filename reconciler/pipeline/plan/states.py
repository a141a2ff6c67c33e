"""What differs between two finished states: files line by line, all else field by field.

It goes by the shape of a state, not by a list of its parts, so whatever a later version puts on hosts is compared too.
"""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.protocol import codec
from agent.protocol.state import CONVERGENT, Secret, State, Struct
from reconciler.pipeline.plan.shape import Change, Item
from reconciler.printable import clipped

LINES_LIMIT = 120
"""Lines shown of one item: more than anybody reads in a review; `git diff` has the rest."""
LINE_LIMIT = 400
"""Characters shown of one line."""
COMPARED_LIMIT = 5_000
"""Lines of a file that are compared one by one: the time that takes grows with their square, and this is a quarter of a second."""
CONTEXT = 3
WHOLE = "state"
"""The field under which what is not in a list stands: whether drift is enforced, say."""

NOT_RESTORED = frozenset(
    name for field, name in zip(State.__struct_fields__, State.__struct_encode_fields__, strict=True) if field in CONVERGENT
)
"""Fields of what only goes forward on a host."""
Key = tuple[str, str]
"""(field, path or name)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing as it was and as it would be, None where it was or would be none."""

    field: str
    name: str
    old: Any
    new: Any

    @property
    def change(self) -> Change:
        """What happens to it."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"

    def known_by(self) -> bytes:
        """Return bytes that are the same for the same two things."""
        return msgspec.json.encode([self.field, self.name, self.old, self.new])


def differing(old: State | None, new: State | None) -> Iterator[Pair]:
    """Yield what differs, in order of field and name; removed things too."""
    before, after = _things(old), _things(new)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key) and (key[0] != WHOLE or (old is not None and new is not None)):
            yield Pair(*key, before.get(key), after.get(key))


def _things(state: State | None) -> dict[Key, Any]:
    if state is None:
        return {}
    found: dict[Key, Any] = {}
    for field, name in zip(state.__struct_fields__, state.__struct_encode_fields__, strict=True):
        value = getattr(state, field)
        if isinstance(value, list):
            found.update(((name, _name(one)), one) for one in value)
        elif isinstance(value, Struct):
            found[name, ""] = value
        elif value is not None:
            found[WHOLE, name] = {"value": value}
    return found


def _name(thing: Any) -> str:
    return str(getattr(thing, "label", None) or getattr(thing, "path", None) or getattr(thing, "name", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An item as it is shown, and what changes in it: equal where the same lines go and come, whatever stands around them."""

    item: Item
    changed: tuple[str, ...]


def shown(pair: Pair, *, withheld: str = "", veiled: Sequence[str] = ()) -> Shown:
    """Return how a difference is shown: without lines where it is `withheld` (the reason); `veiled` texts are blotted out."""
    before, after = (_fields(thing, pair.name) for thing in (pair.old, pair.new))
    lines = [*_by_field(before, after), *_by_line(_content(pair.old), _content(pair.new))]
    changed = tuple(line for line in lines if line[0] in "+-")
    visible = () if withheld else tuple(clipped(_veil(line, veiled), LINE_LIMIT) for line in lines[:LINES_LIMIT])
    added = sum(line.startswith("+") for line in changed)
    item = Item(
        field=pair.field,
        name=pair.name,
        change=pair.change,
        added=added,
        removed=len(changed) - added,
        lines=visible,
        more=0 if withheld else len(lines) - len(visible),
        withheld=withheld,
        restored=pair.field not in NOT_RESTORED,
    )
    return Shown(item=item, changed=changed)


def _veil(line: str, veiled: Sequence[str]) -> str:
    for secret in veiled:
        line = line.replace(secret, "…secret…")
    return line


def _fields(thing: Any, name: str) -> dict[str, str]:
    """Return the fields of a thing as text, inner ones by their way (`platforms.linux/amd64.url`), but for content and what names it."""
    plain = _without_ciphertext(thing) if isinstance(thing, Secret) else msgspec.to_builtins(thing) if thing is not None else {}
    told = {key: value for key, value in plain.items() if key not in ("content", "contentBase64") and (key, value) not in _naming(name)}
    return dict(_flat(told, ""))


def _without_ciphertext(secret: Secret) -> dict[str, Any]:
    """Return a secret with the digest of what is encrypted in the place of that."""
    plain: dict[str, Any] = msgspec.to_builtins(secret)
    sealed = {name: f"encrypted, sha256 {codec.sha256(codec.canonical(plain[name]))[:16]}…" for name in ("age", "sops") if name in plain}
    return plain | sealed


def _naming(name: str) -> tuple[tuple[str, str], ...]:
    return (("path", name), ("name", name))


def _flat(value: Mapping[str, Any], way: str) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from _flat(inner, f"{way}{key}.")
        else:
            yield way + key, inner if isinstance(inner, str) else msgspec.json.encode(inner).decode()


def _by_field(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield from (f"-{key}: {line}" for line in (before.get(key) or "").split("\n") if key in before)
            yield from (f"+{key}: {line}" for line in (after.get(key) or "").split("\n") if key in after)


def _content(thing: Any) -> list[str]:
    text = getattr(thing, "content", None)
    if text is None and getattr(thing, "content_base64", None):
        return [f"binary, {len(thing.content_base64) * 3 // 4} bytes"]
    return text.split("\n") if text else []


def _by_line(before: list[str], after: list[str]) -> Iterator[str]:
    """Yield a unified diff without its header; of files that are too long to compare, only what is gone and what is new."""
    if before == after:
        return
    ended = (before[-1:] in ([], [""])) and (after[-1:] in ([], [""]))
    before, after = (lines[:-1] if ended and lines else lines for lines in (before, after))
    if max(len(before), len(after)) > COMPARED_LIMIT:
        yield f"@@ more than {COMPARED_LIMIT:,} lines, so compared without their order @@"
        yield from (f"-{line}" for line in (Counter(before) - Counter(after)).elements())
        yield from (f"+{line}" for line in (Counter(after) - Counter(before)).elements())
        return
    for number, line in enumerate(difflib.unified_diff(before, after, n=CONTEXT, lineterm="")):
        if number > 1:
            yield line
