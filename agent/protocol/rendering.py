"""References in texts: `${agent.…}`, `${labels.…}`, `${parameters.…}` and `${secret.…}`, and no others.

Logic-less by design. Any other `${…}` is plain text, since shells and nginx use it. `$${labels.x}` is the
literal `${labels.x}`. What is inserted is never read again: a value that looks like a reference stays text.
The compiler fills in labels and parameters; the same functions on a host fill in the agent.
"""

import re
from collections.abc import Iterator, Mapping

from agent.protocol.errors import MalformedError

NAMESPACES = ("agent", "labels", "parameters", "secret")
AGENT_FIELDS = ("name", "tenant", "pool", "id")
"""What `${agent.…}` knows: for a listed agent `id` is its name and `pool` is empty."""

NO_SECRETS: Mapping[str, str] = {}
OPENING = "${"
"""How every reference begins, and what looks like one: most texts have none, and a look for this costs a tenth."""
REFERENCE = re.compile(r"(?P<escape>\$?)\$\{(?P<space>agent|labels|parameters|secret)\.(?P<name>[A-Za-z0-9_./-]{1,253})\}")
_CORE = re.compile(r"\$\{(?:agent|labels|parameters|secret)\.[A-Za-z0-9_./-]{1,253}\}")
NEAR_MISS = re.compile(
    r"(?<!\$)\$\{\s*(?P<space>agents?|labels?|parameters?|params?|secrets?)\s*\.\s*(?P<name>[A-Za-z0-9_./-]{1,253})\s*\}",
    re.IGNORECASE,
)
"""What looks like a reference and is none: another number, case or white space in it."""
STAGED = re.compile(r"\{staged(?::([^{}]+))?\}")
"""In a check: the new file that it belongs to, or with a path any path of the same generation."""


def references(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield (namespace, name, offset in characters) of each reference in `text`; literals are passed over."""
    for match in REFERENCE.finditer(text) if OPENING in text else ():
        if not match["escape"]:
            yield match["space"], match["name"], match.start()


def near_misses(text: str) -> Iterator[tuple[str, int]]:
    """Yield (what stands there, offset in characters) of each text that was probably meant as a reference."""
    for match in NEAR_MISS.finditer(text) if OPENING in text else ():
        if not REFERENCE.fullmatch(match[0]):
            yield match[0], match.start()


def resolve(text: str, *, labels: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    """Return `text` with labels and parameters filled in; literals and the agent's own references stay.

    On a host, `finish` of it has each value exactly as it is here: what would read as a reference in a value, or across the
    edge of one, becomes a literal.

    Raises:
        KeyError: a label or parameter without a value; its argument is `labels.x` or `parameters.x`.
        MalformedError: a value that ends in `$` stands right before a reference that is left, which would make that a literal.
    """
    values = {"labels": labels, "parameters": parameters}
    resolved: list[str] = []
    plain: list[str] = []
    end = 0
    for match in REFERENCE.finditer(text):
        plain.append(text[end : match.start()])
        end = match.end()
        space, name = match["space"], match["name"]
        if match["escape"]:
            plain.append(match[0][1:])
        elif space in values:
            if name not in values[space]:
                missing = f"{space}.{name}"
                raise KeyError(missing)
            plain.append(values[space][name])
        else:
            resolved += [_literal(plain, before=match[0]), match[0]]
            plain.clear()
    plain.append(text[end:])
    resolved.append(_literal(plain))
    return "".join(resolved)


def literal(text: str) -> str:
    """Return the text that stands for exactly this one, whatever in it looks like a reference."""
    return _literal([text])


def _literal(plain: list[str], *, before: str = "") -> str:
    """Return the text of which `finish` makes what is given."""
    joined = "".join(plain)
    if before and joined.endswith("$"):
        message = f"a value that ends in $ stands right before {before}, which makes that a literal: put a character between them"
        raise MalformedError(message)
    return _CORE.sub(lambda match: "$" + match[0], joined)


def agent_fields(tenant: str, agent: str) -> dict[str, str]:
    """Return what `${agent.…}` stands for on an agent (`web-01`) or a pool's agent (`runners/7f3a`)."""
    pool, slash, member = agent.partition("/")
    return {"name": agent, "tenant": tenant, "pool": pool if slash else "", "id": member if slash else agent}


def secrets_in(text: str | None) -> frozenset[str]:
    """Return the names of the secrets that a text refers to."""
    return frozenset(name for space, name, _ in references(text or "") if space == "secret")


def finish(text: str, *, tenant: str, agent: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
    """Return `text` as it lands on a host: the agent and its `secrets` filled in, `$${…}` turned into the literal `${…}`.

    Raises:
        MalformedError: a reference that an agent can't fill in.
    """
    fields = agent_fields(tenant, agent)

    def one(match: re.Match[str]) -> str:
        if match["escape"]:
            return match[0][1:]
        if match["space"] == "agent" and match["name"] in fields:
            return fields[match["name"]]
        if match["space"] == "secret" and match["name"] in secrets:
            return secrets[match["name"]]
        message = f"{match[0]} can't be filled in on a host"
        raise MalformedError(message)

    return REFERENCE.sub(one, text)
