"""Writes commits into a git repository without a working tree or a process: one a day, with the ids that they always have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ObjectType

from tests.history.people import Person

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday; the commit with number n, from 0, is made n days later."""
Files = Mapping[str, str | bytes | None]
"""New texts by path; None removes a file."""


@dataclass(slots=True)
class Branch:
    """A line of commits as its author has it: the tree, and the newest commit."""

    files: dict[str, str | bytes] = field(default_factory=dict)
    index: pygit2.Index = field(default_factory=pygit2.Index)
    head: str = ""


@dataclass(slots=True)
class Scribe:
    """The repository while it is written. `main` has all that is merged; `count` is how many commits there are."""

    repository: pygit2.Repository
    main: Branch = field(default_factory=Branch)
    count: int = 0
    signed: bool = False
    """Whether people sign what they commit unless it is said otherwise."""
    marks: dict[str, str] = field(default_factory=dict)
    keys: dict[Person, Person] = field(default_factory=dict)
    """Who has another key than at first: as which person they sign now."""
    """Commits that tests speak of, by a name."""

    @classmethod
    def begin(cls, place: Path) -> "Scribe":
        """Begin with nothing, on the branch `main`."""
        return cls(pygit2.init_repository(str(place), initial_head="main"))

    def commit(self, who: Person, message: str, files: Files, *, mark: str = "", sign: bool | None = None, on: Branch | None = None) -> str:
        """Commit files on a branch, `main` unless said otherwise; return the commit."""
        line = on or self.main
        self._write(line, files)
        return self._record(line, who, message, [line.head] if line.head else [], mark=mark, sign=sign)

    def edit(self, who: Person, message: str, path: str, old: str, new: str, *, mark: str = "", on: Branch | None = None) -> str:
        """Commit one file in which a text that it has is replaced."""
        return self.commit(who, message, self.edited(path, old, new, on=on), mark=mark, on=on)

    def edited(self, path: str, old: str, new: str, *, on: Branch | None = None) -> dict[str, str | bytes | None]:
        """Return a file in which a text that it has is replaced."""
        text = (on or self.main).files[path]
        assert isinstance(text, str), path
        assert old in text, (path, old)
        return {path: text.replace(old, new)}

    def branch(self, of: Branch | None = None) -> Branch:
        """Return a new branch that begins where `main` (or another branch) stands."""
        line = of or self.main
        made = Branch(files=dict(line.files), head=line.head)
        made.index.read_tree(self.repository[line.head].peel(pygit2.Tree))
        return made

    def merge(self, who: Person, message: str, side: Branch, changed: Files, *, mark: str = "", sign: bool | None = None) -> str:
        """Merge a branch that changed these files into `main`; there is no conflict."""
        self._write(self.main, changed)
        return self._record(self.main, who, message, [self.main.head, side.head], mark=mark, sign=sign)

    def tag(self, name: str, line: Branch) -> None:
        """Let a branch of git stand at a line's newest commit."""
        self.repository.references.create(f"refs/heads/{name}", line.head, force=True)

    def _write(self, line: Branch, files: Files) -> None:
        for path, text in files.items():
            if text is None:
                del line.files[path]
                line.index.remove(path)
                continue
            line.files[path] = text
            data = text if isinstance(text, bytes) else text.encode()
            line.index.add(pygit2.IndexEntry(path, self.repository.create_blob(data), FileMode.BLOB))

    def _record(self, line: Branch, who: Person, message: str, parents: list[str], *, mark: str, sign: bool | None) -> str:
        tree = line.index.write_tree(self.repository)
        made = BEGIN + timedelta(days=self.count, hours=8 + self.count * 5 % 9, minutes=self.count * 17 % 60)
        person = f"{who.title} <{who.email}> {int(made.timestamp())} +0000"
        begin = "".join([f"tree {tree}\n", *(f"parent {one}\n" for one in parents), f"author {person}\ncommitter {person}\n"])
        end = f"\n{message}\n"
        if self.signed if sign is None else sign:
            begin += "gpgsig " + self.keys.get(who, who).sign((begin + end).encode()).replace("\n", "\n ") + "\n"
        line.head = str(self.repository.write(ObjectType.COMMIT, (begin + end).encode()))
        self.count += 1
        if mark:
            self.marks[mark] = line.head
        return line.head
