"""As whom the agent runs: what its identity says, or what it is told."""

from pathlib import Path

from agent.disk import Disk
from agent.joining.identity import Enrolled, Identities
from agent.protocol.errors import InputError
from agent.settings import (
    DEFAULT_CONFIG,
    DEFAULT_POLL_SECONDS,
    Settings,
    read_root_metadata,
    require_directory,
    require_identity,
    require_server,
)
from agent.trust.anchor import check_root_metadata

TOLD = ("server", "root_metadata", "tenant", "name")
"""What an agent that is not enrolled must be told."""


def settings_for(
    state: Path, *, root: Path | None, config: Path | None, poll: float, **told: str | Path | None
) -> tuple[Settings, Enrolled | None]:
    """Return how to run, and as whom this host is enrolled, None if it is not; `told` are the options of `TOLD`.

    Raises:
        InputError: neither enrolled nor told, or both.
    """
    enrolled = Identities(directory=Disk(root=state).joining).current()
    given = [f"--{name.replace('_', '-')}" for name in TOLD if told[name] is not None]
    if enrolled is not None and given:
        known = enrolled.enrolment
        message = f"{state}: this host is enrolled as {known.tenant}/{known.agent}; leave out {', '.join(given)}, or give another --state"
        raise InputError(message)
    if enrolled is not None:
        return _as_enrolled(enrolled, state, root=root, config=config, poll=poll), enrolled
    if len(given) < len(TOLD):
        missing = ", ".join(f"--{name.replace('_', '-')}" for name in TOLD if told[name] is None)
        message = (
            f"{state}: this host is not enrolled: ordain-agent enroll --server URL --token …"
            if not given
            else f"{missing} missing: a host that is not enrolled needs all four of --server, --root-metadata, --tenant and --name"
        )
        raise InputError(message)
    return _as_told(state, root=root, config=config, poll=poll, told={name: str(told[name]) for name in TOLD}), None


def settings_as_before(disk: Disk) -> tuple[Settings, Enrolled | None]:
    """Return how the agent was run last with this state directory, and as whom it is enrolled, None if it is not.

    Raises:
        InputError: no agent has run here.
    """
    identity = disk.read_identity()
    settings = Settings(
        server=identity.server,
        bootstrap=disk.bootstrap.read_bytes(),
        tenant=identity.tenant,
        name=identity.agent,
        root=Path(identity.root),
        state=disk.root,
        config=Path(identity.config),
    )
    enrolled = Identities(directory=disk.joining).current()
    ours = enrolled is not None and enrolled.enrolment.server == identity.server
    return settings, enrolled if ours else None


def _as_enrolled(enrolled: Enrolled, state: Path, *, root: Path | None, config: Path | None, poll: float) -> Settings:
    known = enrolled.enrolment
    place = require_directory(root or Path(known.root))
    chosen = config or (place / DEFAULT_CONFIG.lstrip("/") if root is not None else Path(known.config))
    return Settings(
        server=known.server,
        bootstrap=enrolled.root_metadata,
        tenant=known.tenant,
        name=known.agent,
        root=place,
        state=state,
        config=chosen.absolute(),
        poll=poll,
    )


def _as_told(state: Path, *, root: Path | None, config: Path | None, poll: float, told: dict[str, str]) -> Settings:
    require_identity(told["tenant"], told["name"])
    place = root or Path("/")
    file = Path(told["root_metadata"])
    settings = Settings(
        server=require_server(told["server"]),
        bootstrap=read_root_metadata(file),
        tenant=told["tenant"],
        name=told["name"],
        root=require_directory(place),
        state=state,
        config=(config or place / DEFAULT_CONFIG.lstrip("/")).absolute(),
        poll=poll or DEFAULT_POLL_SECONDS,
    )
    check_root_metadata(settings.bootstrap, tenant=settings.tenant, what=f"--root-metadata {file}")
    return settings
