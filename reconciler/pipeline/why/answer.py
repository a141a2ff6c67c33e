"""The answer: which item of which component a thing on a host is, and each manifest line that made a line of it, with who wrote that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.protocol.errors import InputError, MalformedError
from reconciler.pipeline.acceptance.corpus import Corpus
from reconciler.pipeline.compile.compiler import compile_fleet
from reconciler.pipeline.compile.findings import did_you_mean
from reconciler.pipeline.compile.manifest import Layer
from reconciler.pipeline.compile.parts import NOUNS, Part
from reconciler.pipeline.compile.texts import Text
from reconciler.pipeline.finding import Place
from reconciler.pipeline.manifests import locate
from reconciler.pipeline.trail.trees import bundle_format
from reconciler.pipeline.why.address import Address
from reconciler.pipeline.why.blame import Author, Blamer
from reconciler.pipeline.why.landing import Landing, held_by, landings
from reconciler.pipeline.why.rendered import Line, Reference, line_of, pieces
from reconciler.pipeline.why.values import Given, Value, modes_of, trace, values_of

OLDER = "older than the commits that were looked at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A manifest line that has a part in it: `role` is text, item, parameter, label or agent; `how` says what it does there.

    `column` counts from 1, `text` is the line. Without an `author`, `unknown` says why.
    """

    role: str
    how: str
    file: str
    line: int
    column: int
    text: str
    name: str = ""
    value: str = ""
    author: Author | None = None
    unknown: str = ""
    overruled: "tuple[Source, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """How the line reads in a mode in which it reads otherwise, and what makes it so."""

    mode: str
    text: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why one thing is on a host: `kind` is file, artifact or probe, `text` the line that was asked about as it lies there.

    `component` is its name as the fleet's tenant writes it, `via` who uses it, from the fleet on. `digest` is that of the fleet's bundle.
    `objects` are the manifests that have a part in it, and `files` where they stand.
    """

    asked: str
    fleet: str
    group: str
    digest: str
    component: str
    via: tuple[str, ...]
    kind: str
    name: str
    below: str = ""
    mode: str = ""
    line: int | None = None
    text: str = ""
    sources: tuple[Source, ...] = ()
    otherwise: tuple[Otherwise, ...] = ()
    objects: tuple[str, ...] = ()

    @property
    def files(self) -> frozenset[str]:
        """The files that have a part in it, those of overruled values left out."""
        return frozenset(one.file for one in self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What questions are asked of: an accepted snapshot, and the history that it is from (None: nobody is blamed)."""

    corpus: Corpus
    blamer: Blamer | None


def answers(asking: Asking, address: Address, *, mode: str = "") -> tuple[list[Answer], tuple[tuple[str, str], ...]]:
    """Return an answer for each fleet that puts this on the host, and the fleets of it that don't compile, with why.

    Raises:
        InputError: no such host, path, line or mode; or nothing of the host's fleets stands there.
        MalformedError: git objects are missing or damaged.
    """
    held = held_by(asking.corpus.world, asking.corpus.tree, address.host)
    found = [_answer(asking, address, landing, _mode(landing, mode)) for landing in landings(held, address.path)]
    return found, held.failed


def _mode(landing: Landing, name: str) -> Layer | None:
    modes = {one.name: one for one in modes_of(landing)}
    if name and name not in modes:
        message = f"fleet {landing.fleet} has no mode {name}; {did_you_mean(name, modes)}"
        raise InputError(message)
    return modes.get(name)


def _answer(asking: Asking, address: Address, landing: Landing, mode: Layer | None) -> Answer:
    corpus, part = asking.corpus, landing.part
    looking = _Looking(asking, landing, address)
    text = looking.text()
    if address.line is not None and text is None:
        what = f"lies in {part.name}, which is unpacked as it is" if landing.below else "has no text of its own"
        message = f"{address.path} {what}, so it has no line {address.line}; ask without the line"
        raise InputError(message)
    line = looking.line(text, mode, address.line) if text is not None and address.line is not None else None
    compiled = compile_fleet(corpus.world, corpus.tree, landing.assembly.key, format=bundle_format(corpus), assembly=landing.assembly)
    documents = (landing.assembly.fleet, part.document, landing.assembly.membership.documents[address.host.member])
    return Answer(
        asked=str(address),
        fleet=landing.fleet,
        group=landing.group.name,
        digest=compiled.digest,
        component=part.ref,
        via=tuple(_via(landing)),
        kind=NOUNS[part.field],
        name=part.name,
        below=landing.below,
        mode=mode.name if mode is not None else "",
        line=address.line,
        text=line.text if line is not None else "",
        sources=tuple(looking.of_line(text, line, mode) if text is not None and line is not None else looking.of_item(mode)),
        otherwise=tuple(looking.otherwise(text, line, address.line)) if mode is None and text is not None and line is not None else (),
        objects=tuple(str(one.name) for one in documents),
    )


def _via(landing: Landing) -> Iterator[str]:
    """Yield who uses the component, the fleet first."""
    chain, ref = [], landing.part.ref
    while (user := landing.assembly.instances[ref].user) is not landing.assembly.fleet:
        ref = next(name for name, one in landing.assembly.instances.items() if one.document is user)
        chain.append(str(user.name))
    yield str(landing.assembly.fleet.name)
    yield from reversed(chain)


def text_of(landing: Landing) -> Text | None:
    """Return the text that a file's content is filled in from, None where what landed has none."""
    part = landing.part
    wanted = [part.at("content"), part.at("source")] if part.field == "files" and not landing.below else []
    if part.render is not None or part.item.get("absent") is True or part.item.get("type") in ("directory", "symlink"):
        return None
    found = {text.pointer: text for text in landing.assembly.texts[part.ref] if text.document is part.document}
    return next((found[one] for one in reversed(wanted) if one in found), None)


class _Looking:
    """Looks for the sources of one landing."""

    def __init__(self, asking: Asking, landing: Landing, address: Address) -> None:
        self._asking, self._landing, self._host = asking, landing, address.host

    def text(self) -> Text | None:
        """Return the text that the item's content is filled in from, None where it has none."""
        return text_of(self._landing)

    def line(self, text: Text, mode: Layer | None, number: int) -> Line:
        """Return a line of the text as it lies on the host; raise `InputError` if there is none."""
        made = list(pieces(text.text, values_of(self._landing, self._host, mode)))
        found = line_of(made, number)
        if found is None:
            count = len("".join(piece.text for piece in made).splitlines())
            message = f"{self._landing.part.name} has {count} line{'' if count == 1 else 's'} on {self._host}, and no line {number}"
            raise InputError(message)
        return found

    def of_line(self, text: Text, line: Line, mode: Layer | None) -> Iterator[Source]:
        """Yield where a line stands in a manifest or a source file, then who gave the values in it."""
        yield self._at(text.place(line.offset), role="text", how=f"a line of {self._what(text)}")
        for number, reference in enumerate(line.references):
            yield self._value(trace(reference, self._landing, self._host, mode), inside=line.inside if number == 0 else 0)

    def of_item(self, mode: Layer | None) -> Iterator[Source]:
        """Yield where an item stands in its component, then who gave the values in its texts."""
        part = self._landing.part
        what = f"{NOUNS[part.field]} {part.label}".strip()
        yield self._at(part.document.place(*part.pointer), role="item", how=f"{what} of {part.document.name}")
        text = self.text()
        if text is not None and text.source is not None:
            yield self._at(Place(file=text.source, line=1, column=1), role="text", how=self._what(text))
        for reference in self._used():
            yield self._value(trace(reference, self._landing, self._host, mode))

    def _used(self) -> list[Reference]:
        part = self._landing.part
        texts = (text for text in self._landing.assembly.texts[part.ref] if text.document is part.document and _is_of(text, part))
        values = values_of(self._landing, self._host, None)
        used = dict.fromkeys((space, name) for text in texts for space, name, _ in text.used)
        return [(space, name) for space, name in used if space in ("labels", "parameters") or name in values["agent"]]

    def otherwise(self, text: Text, line: Line, number: int | None) -> Iterator[Otherwise]:
        """Yield the modes in which a line reads otherwise; a value with another number of lines moves those behind it."""
        for mode in modes_of(self._landing):
            made = line_of(list(pieces(text.text, values_of(self._landing, self._host, mode))), number or 1)
            if made is not None and made.text != line.text:
                changed = (trace(reference, self._landing, self._host, mode) for reference in made.references)
                sources = tuple(
                    self._value(one) for one in changed if mode.name and one.given.place.pointer[: len(mode.pointer)] == mode.pointer
                )
                yield Otherwise(mode=mode.name, text=made.text, sources=sources)

    def _what(self, text: Text) -> str:
        return f"{text.source}, the source of {self._landing.part.name}" if text.source else f"the content of {self._landing.part.name}"

    def _value(self, value: Value, *, inside: int = 0) -> Source:
        space, name = value.reference
        role = {"labels": "label", "parameters": "parameter"}.get(space, space)
        weaker = tuple(self._of(one, role, name) for one in value.overruled)
        return self._of(value.given, role, name, inside=inside, overruled=weaker)

    def _of(self, given: Given, role: str, name: str, *, inside: int = 0, overruled: tuple[Source, ...] = ()) -> Source:
        place = given.place
        if inside:
            place = Place(file=place.file, document=place.document, pointer=place.pointer, offset=inside)
        return self._at(place, role=role, how=given.how, name=name, value=given.value, overruled=overruled)

    def _at(self, place: Place, *, role: str, how: str, name: str = "", value: str = "", overruled: tuple[Source, ...] = ()) -> Source:
        number, column, text = locate(self._asking.corpus.tree.read(place.file), place)
        author, unknown = self._author(place.file, number)
        return Source(
            role=role,
            how=how,
            file=place.file,
            line=number,
            column=column,
            text=text,
            name=name,
            value=value,
            author=author,
            unknown=unknown,
            overruled=overruled,
        )

    def _author(self, file: str, number: int) -> tuple[Author | None, str]:
        if self._asking.blamer is None:
            return None, "no git history here"
        try:
            found = self._asking.blamer.line(file, self._asking.corpus.tree.entries[file].oid, number)
        except MalformedError as error:
            return None, str(error)
        return found, "" if found is not None else OLDER


def commits_of(found: Sequence[Answer]) -> dict[str, Author]:
    """Return the commits that answers name, by id."""
    sources = [source for answer in found for source in (*answer.sources, *(one for other in answer.otherwise for one in other.sources))]
    authors: Mapping[str, Author] = {one.author.commit.sha: one.author for one in sources if one.author is not None}
    return dict(authors)


def _is_of(text: Text, part: Part) -> bool:
    return any(text.pointer[: len(at)] == at for at in part.read_at)
