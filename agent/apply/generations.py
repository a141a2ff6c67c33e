"""What one fleet has applied here, numbered: the state of each generation, and which one is current.

`current.json` is the commit point of every apply: it names the generation and the transaction that made it so, and is
replaced in one step. A new number means a new state; a new bundle or members sequence that leaves this host's state as
it is only changes what is known about the current one, so that the last five are five that differ.
"""

import shutil
from pathlib import Path

from agent.disk import read_optional
from agent.protocol import codec, durable
from agent.protocol.errors import InputError, MalformedError
from agent.protocol.state import State, Struct

FORMAT = 1
KEPT = 5
"""Generations kept for rollback, the current one among them; their artifacts stay too."""


class Meta(Struct):
    """What a generation came from; `applied_at` is RFC 3339 in UTC."""

    format: int
    generation: int
    digest: str
    members: int
    group: str
    mode: str | None
    attempt: int
    serial: int
    commit: str
    decision: int
    applied_at: str


class Current(Struct):
    """Which generation is current, and the transaction that last touched this fleet."""

    generation: int
    transaction: str


class Hold(Struct):
    """A rollback by hand: `digest` and `attempt` are the release that is kept away until a newer one comes."""

    digest: str
    attempt: int
    at: str


class Generations:
    """The generations of one fleet, in its directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._generations = directory / "generations"

    def pointer(self) -> Current | None:
        """Return which generation is current, None before the first."""
        return read_optional(self._directory / "current.json", Current)

    def current(self) -> Meta | None:
        """Return what the current generation came from, None before the first."""
        pointer = self.pointer()
        return None if pointer is None else self.meta(pointer.generation)

    def meta(self, number: int) -> Meta:
        """Return what a generation came from; raise `InputError` if it isn't kept."""
        meta = read_optional(self._generations / str(number) / "meta.json", Meta)
        if meta is None:
            message = f"generation {number} is not kept here; `ordain-agent generations` lists those that are"
            raise InputError(message)
        return meta

    def state(self, number: int) -> State:
        """Return the state of a generation; raise `MalformedError` if it is damaged."""
        state = read_optional(self._generations / str(number) / "state.json", State)
        if state is None:
            message = f"{self._generations / str(number)}: its state.json is missing"
            raise MalformedError(message)
        return state

    def current_state(self) -> State:
        """Return what this fleet holds here now; an empty state before the first generation."""
        pointer = self.pointer()
        return State() if pointer is None else self.state(pointer.generation)

    def numbers(self) -> list[int]:
        """Return the numbers of the generations that are kept, lowest first."""
        if not self._generations.is_dir():
            return []
        return sorted(int(entry.name) for entry in self._generations.iterdir() if entry.name.isdecimal())

    def next_number(self) -> int:
        """Return a number above all that were given out and are still known."""
        return max([*self.numbers(), 0]) + 1

    def record(self, meta: Meta, state: State | None = None) -> None:
        """Put a generation on disk; without a state, only what is known about one that is there."""
        directory = self._generations / str(meta.generation)
        if state is not None:
            durable.replace(directory / "state.json", codec.canonical(state), mode=0o600)
        durable.replace(directory / "meta.json", codec.canonical(meta), mode=0o600)

    def commit(self, number: int, transaction: str) -> None:
        """Make a generation the current one: the instant at which a transaction has happened."""
        durable.replace(self._directory / "current.json", codec.canonical(Current(generation=number, transaction=transaction)), mode=0o600)

    def discard(self, number: int) -> None:
        """Forget a generation that never became current."""
        pointer = self.pointer()
        if pointer is None or pointer.generation != number:
            shutil.rmtree(self._generations / str(number), ignore_errors=True)

    def prune(self) -> None:
        """Forget all but the last five and the current one."""
        for number in self.numbers()[:-KEPT]:
            self.discard(number)

    # Rollbacks by hand

    def hold(self) -> Hold | None:
        """Return the rollback by hand that holds this fleet, None if none does."""
        return read_optional(self._directory / "hold.json", Hold)

    def set_hold(self, hold: Hold | None) -> None:
        """Hold this fleet, or let it go."""
        path = self._directory / "hold.json"
        if hold is not None:
            durable.replace(path, codec.canonical(hold), mode=0o600)
        elif path.exists():
            durable.remove(path)
