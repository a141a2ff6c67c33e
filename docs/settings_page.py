"""Print docs/settings.md, made of the docstrings in reconciler/settings.py.

A setting is described once, beside its field, and the page follows: tests/e2e/test_docs.py holds it to that.

    .venv/bin/python docs/settings_page.py > docs/settings.md
"""

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from reconciler import bounds, settings

HEAD = """\
# Settings

What an operator of the control plane can set. Nothing needs setting to try ordain: the defaults run everything on one machine.

Settings are read once, at start, from the TOML file that `--settings` names. An option of the same meaning (`--repo`, `--branch`,
`--listen`, `--log-format`) counts more than the file. A table or a setting that does not exist ends the command with exit code 2 and a
line that names it, and so does a value of another type, or one that is not allowed.
No setting holds a secret; some name the file or the environment variable that does.

```toml
[source]
repository = "https://git.example.com/fleets.git"
credentials = "env:FLEETS_TOKEN"

[log]
format = "json"
```

An agent has no such file; what it takes is in [agent.md](agent.md).

<!-- Made by docs/settings_page.py from reconciler/settings.py. Change it there. -->
"""
BESIDE = """
## Beside the file

| where | what it is for |
|---|---|
| `--state DIR` | Directory of everything that this process keeps; every command that needs it asks for it. |
| `ORDAIN_OPA` | OPA binary to use where neither `--opa` nor `[policy] opa` names one. |
| `ORDAIN_CACHE` | Where an OPA that ordain built is kept, and what `ordain check` remembers; else `ordain` in the user's cache directory. |
"""


def page() -> str:
    """Return the whole page, ending in one line feed."""
    tables = [_table(name, kind) for name, kind in settings.GROUPS.items()]
    return HEAD + "".join(tables) + BESIDE


def _table(name: str, kind: type[Any]) -> str:
    described = dict(_described(kind))
    rows = [
        f"| `{one.name}` | {_shown(one.type)} | {_default(one.default)} | {described[one.name]} |\n" for one in dataclasses.fields(kind)
    ]
    return f"\n## [{name}]\n\n{inspect.getdoc(kind)}\n\n| setting | type | default | what it is for |\n|---|---|---|---|\n{''.join(rows)}"


def _described(kind: type[Any]) -> Iterator[tuple[str, str]]:
    """Yield each field with the string that follows it, which Python itself throws away."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - what getsource gives for a class
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            yield field.target.id, " ".join(str(ast.literal_eval(text.value)).split())


def _shown(stated: object) -> str:
    kind, allowed = bounds.bare(stated)
    shown: dict[object, str] = {str: "text", float: "number", int: "whole number", bool: "true or false"}
    shown |= {dict[str, str]: "table of texts", list[str]: "list of texts"}
    return shown[kind] + (f", {allowed.said}" if allowed else "")


def _default(value: object) -> str:
    return "" if value in ("", dataclasses.MISSING) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    print(page(), end="")
