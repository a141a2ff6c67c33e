"""What rules are asked about something, without asking them: for who traces, measures or covers them with real questions."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from reconciler.pipeline.policy.metadata import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing that rules were asked about: `input` as they see it, `rules` their paths below `data.ordain` by id."""

    input: Mapping[str, Any]
    rules: Mapping[str, tuple[str, ...]]


class Recorder:
    """Stands where an OPA would: answers that nothing was found, and keeps what it was asked, in `seen`."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.seen: list[Seen] = []

    def __enter__(self) -> Self:
        """Nothing is to be started."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is to be stopped."""

    def begin(self) -> None:
        """Nothing is to be started."""

    def query(self, package: str, rule: str, question: Any, *, seconds: float) -> Any:
        """Keep a question to the router, and answer it as one in which no rule finds anything."""
        del package, rule, seconds
        counted = 0
        for item in question["items"]:
            for group in question["profiles"][item["profile"]]:
                counted += len(group["rules"])
                seen = {**item["input"], "change": question["change"], "parameters": group["parameters"]}
                self.seen.append(Seen(input=seen, rules={name: tuple(path) for name, path in group["rules"].items()}))
        return {"asked": counted, "answers": []}


def reference(rule: Rule) -> str:
    """Return how Rego refers to what a rule finds: `data.ordain.custom.files.not_in_tmp.deny`."""
    path = rule.path if rule.path[0] == "conftest" else (*rule.path, "deny")
    return ".".join(("data", "ordain", *path))
