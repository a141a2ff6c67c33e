"""Man pages and shell completions, from what the commands say of themselves."""

import gzip
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import click
from click.shell_completion import get_completion_class

COMMANDS = {"ordain-agent": ("agent.cli", "cli"), "ordain": ("reconciler.cli", "cli")}
COMPLETIONS = {
    "bash": "bash-completion/completions/{name}",
    "zsh": "zsh/site-functions/_{name}",
    "fish": "fish/vendor_completions.d/{name}.fish",
}


def write(target: Path, name: str) -> None:
    """Write a page for a command and one for each of its subcommands, compressed, into a directory."""
    target.mkdir(parents=True, exist_ok=True)
    for words, command in _commands((name,), _group(name)):
        page = _page(words, command).encode()
        (target / f"{'-'.join(words)}.1.gz").write_bytes(gzip.compress(page, mtime=0))


def write_completions(share: Path, name: str) -> None:
    """Write what shells need to complete a command below /usr/share."""
    variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
    for shell, place in COMPLETIONS.items():
        kind = get_completion_class(shell)
        if kind is None:
            continue
        path = share / place.format(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # `source` would ask the shell for its version, which is not that of the host on which it will be read.
        completion = kind(_group(name), {}, name, variable)
        path.write_text(completion.source_template % completion.source_vars())


def _group(name: str) -> click.Command:
    module, attribute = COMMANDS[name]
    command: click.Command = getattr(import_module(module), attribute)
    return command


def _commands(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _commands((*words, name), found)


def _page(words: tuple[str, ...], command: click.Command) -> str:
    """Return a page in the man macros, man(7)."""
    context = click.Context(command, info_name=" ".join(words))
    name, said = "-".join(words), command.help or ""
    lines = [
        f'.TH "{name.upper()}" "1" "" "ordain {version("ordain")}" "ordain"',
        ".SH NAME",
        f"{_plain(name)} \\- {_plain(command.get_short_help_str(200))}",
        ".SH SYNOPSIS",
        f".B {' '.join(words)}",
        _plain(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_paragraphs(said),
    ]
    options = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context)) is not None]
    if options:
        lines.append(".SH OPTIONS")
    for option, text in options:
        lines += [".TP", f".B {_plain(option)}", _plain(text) or "."]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for one in command.list_commands(context):
            found = command.get_command(context, one)
            if found is not None and not found.hidden:
                lines += [".TP", f".BR {_plain(name)}\\-{_plain(one)} (1)", _plain(found.get_short_help_str(200)) or "."]
    return "\n".join(lines) + "\n"


def _paragraphs(said: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", said.strip()):
        yield ".PP"
        if paragraph.lstrip().startswith("\b"):  # click's mark of a paragraph that keeps its lines
            yield from (".nf", *map(_plain, paragraph.replace("\b", "").strip("\n").splitlines()), ".fi")
        else:
            yield _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    """Return text that troff prints as it stands."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(['.])", r"\\&\1", escaped, flags=re.MULTILINE)
