"""The example, without what a directory can't be held to: it has no systemd, no accounts and no package manager of its own."""

import re
from pathlib import Path

LEFT_OUT = "after|containers|groups|hostFiles|kernelSettings|packageRepositories|packages|probes|processes|reboot|services|users"
_SECTION = re.compile(rf"^  (?:{LEFT_OUT}):.*\n(?:   .*\n|\n(?=   ))*", re.MULTILINE)
_REMARK = re.compile(r"^  #.*\n(?=  (?:#|probes:)|\Z)", re.MULTILINE)
_ROLLOUT = re.compile(r"^  rollout:\n(?:   .*\n)*", re.MULTILINE)
_SHORT = """\
  rollout:
    waves:
      - {name: all, limit: 100%, soak: 1s}
"""
_OWNER = re.compile(r", (?:owner|group): [a-z]+|^ +(?:owner|group): [a-z]+\n", re.MULTILINE)


def trim(repository: Path) -> None:
    """Leave out of all components what they say beside files and artifacts, and to whom files belong."""
    for path in [*repository.glob("library/*/*.yaml"), *repository.glob("tenants/*/components/*.yaml")]:
        text = path.read_text()
        for shape in (_SECTION, _REMARK):
            text = shape.sub("", text)
        head, files, rest = text.partition("  files:\n")
        path.write_text(head + files + _OWNER.sub("", rest))


def hasten(repository: Path) -> None:
    """Give all fleets one wave that takes seconds, at any time of the day: a demo has no hours for its hosts to prove themselves."""
    for path in repository.glob("tenants/*/fleets/*.yaml"):
        path.write_text(_ROLLOUT.sub(_SHORT, path.read_text()))
