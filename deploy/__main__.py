"""`python -m deploy`: make the agent's packages, and the bundle for places without a network."""

import sys
import tempfile
from pathlib import Path

import click

from deploy import interpreter, offline, packages, tree, wheels
from deploy.interpreter import BuildError

KINDS = {"deb": packages.debian, "rpm": packages.rpm, "tar": packages.tarball, "root": packages.whole}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Make what ordain is installed from.

    \b
    Examples:
      python -m deploy agent --out dist
      python -m deploy agent --interpreter ./python-arm64 --only deb,tar
      python -m deploy offline --out dist
    """


@cli.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("dist"), show_default=True, help="Where packages go.")
@click.option(
    "--interpreter",
    "prefix",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A Python to bring along: a directory with bin/ and lib/, of the architecture wanted. Left out: the one that runs this.",
)
@click.option("--wheels", "wheelhouse", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Take distributions from here.")
@click.option("--only", default=",".join(KINDS), show_default=True, help="Which kinds of packages.")
def agent(out: Path, prefix: Path | None, wheelhouse: Path | None, only: str) -> None:
    """Make the agent's packages: deb, rpm, tar (a version by itself) and root (all of it, for other systems)."""
    unknown = sorted(set(only.split(",")) - KINDS.keys())
    if unknown:
        raise click.UsageError(f"--only {unknown[0]}: there are {', '.join(KINDS)}")  # noqa: TRY003, EM102 - click's way
    source = interpreter.running() if prefix is None else interpreter.at(prefix.resolve())
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        click.echo(f"laying out the agent with Python {source.version} of {source.prefix}", err=True)
        built = tree.build(Path(scratch) / "root", source, wheelhouse=wheelhouse)
        click.echo(f"built for {built.architecture}, glibc {built.glibc} or later", err=True)
        if built.architecture == tree.architecture_of(interpreter.running()):
            click.echo(tree.try_it(built), err=True)
        for kind in only.split(","):
            path = KINDS[kind](built, out)
            click.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


@cli.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A directory that is not there yet.")
def site(out: Path) -> None:
    """Lay down the agent and what it needs as a directory for PYTHONPATH, for images that have an interpreter."""
    running = interpreter.running()
    wheels.install(tree.ROOT, out, python=running.version, architecture=tree.architecture_of(running), wheels=None)
    tree.thin(out)


@cli.command(name="offline")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("dist"), show_default=True, help="Where it goes.")
@click.option("--opa", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The OPA to bring.")
def offline_bundle(out: Path, opa: Path | None) -> None:
    """Make one archive that holds all wheels of the control plane and OPA, for machines without a network."""
    out.mkdir(parents=True, exist_ok=True)
    path = offline.make(out, opa)
    click.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


try:
    cli(prog_name="python -m deploy")
except BuildError as problem:
    click.echo(f"deploy: {problem}", err=True)
    sys.exit(1)
