"""Finished desired state: what lands on a host, after parameters, variants and labels are resolved.

Only `${agent.…}` and `${secret.…}` are left in texts for the agent to fill in. Fields that hold their default are
left out, so that a later format may add fields without changing the digests of today's bundles.
"""

from typing import Literal, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """The shape of every wire type: frozen, by keyword, strict, camelCase, defaults left out."""


class File(Struct):
    """A file, directory or symlink; `content_base64` is for a `source` that is not UTF-8."""

    path: str
    type: Literal["file", "directory", "symlink"] = "file"
    content: str | None = None
    content_base64: str | None = None
    target: str | None = None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None
    check: list[str] = []
    absent: bool = False


class ArtifactSource(Struct):
    """Where an artifact comes from for one platform; `url` is https:, file: or `store:<name>`."""

    url: str
    sha256: str
    size: int | None = None


class Artifact(Struct):
    """A fetched file, by platform (`linux/amd64`, or `any` where one serves all); unpacked, it is a directory.

    `unpacked_size` is the most bytes that its files may have together; left out, 32 times those of the archive, at least
    64 MiB and at most 4 GiB.
    """

    name: str
    path: str
    platforms: dict[str, ArtifactSource]
    unpack: Literal["tar.gz", "tar.zst", "zip"] | None = None
    unpacked_size: int | None = None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None


class Probe(Struct):
    """A check of health after a switch: one of `http`, `tcp`, `command` and `file`."""

    name: str
    http: str | None = None
    tcp: str | None = None
    command: list[str] = []
    file: str | None = None
    max_age: str | None = None
    every: str = "10s"
    timeout: str = "5s"
    failures: int = 3
    grace: str = "0s"


class Limits(Struct):
    """What a process may use: `memory` as 256Mi, `cpu` as 50% of one core, numbers of processes (and threads) and of open files."""

    memory: str | None = None
    cpu: str | None = None
    processes: int | None = None
    open_files: int | None = None


class CrashLoop(Struct):
    """How many starts within how long are a crash loop: then it is not started again until its release or its host changes."""

    starts: int = 5
    within: str = "1m"


class Process(Struct):
    """A process that the agent supervises.

    `after` names what must run before it starts and stops after it, as `process/<name>` or `service/<unit>`.
    `back_off` is the first wait before it is started again, doubled each time up to a minute.
    """

    name: str
    command: list[str]
    user: str | None = None
    group: str | None = None
    working_directory: str | None = None
    environment: dict[str, str] = {}
    restart: Literal["always", "on-failure", "never"] = "always"
    restart_on: list[str] = []
    after: list[str] = []
    back_off: str = "1s"
    crash_loop: CrashLoop = CrashLoop()
    stop_signal: Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] = "SIGTERM"
    stop_timeout: str = "10s"
    limits: Limits = Limits()
    no_new_privileges: bool = False
    read_only_paths: list[str] = []
    private_paths: list[str] = []


class Service(Struct):
    """A unit of systemd. Its unit file and drop-ins are files of the state; `unit_files` names those, for they make systemd read anew.

    None leaves `state` and `enabled` as they are.
    """

    name: str
    state: Literal["running", "stopped"] | None = None
    enabled: bool | None = None
    masked: bool = False
    reload_on: list[str] = []
    restart_on: list[str] = []
    after: list[str] = []
    unit_files: list[str] = []

    @property
    def comes_along(self) -> bool:
        """Whether the unit itself comes with the release, and not drop-ins alone: then it goes with it, too."""
        return any(f"/{self.name}.d/" not in path for path in self.unit_files)


class Repository(Struct):
    """Where packages come from: of apt (`suites`, `components`) or dnf; `key` is its OpenPGP key, armoured."""

    name: str
    manager: Literal["apt", "dnf"]
    url: str
    key: str
    suites: list[str] = []
    components: list[str] = []


class Package(Struct):
    """A package of the host's own manager; without a version any will do, with `hold` no upgrade but a release's moves it.

    `if_gone` says what happens when no repository has the version any more: the release is refused, or the installed one kept.
    """

    name: str
    version: str | None = None
    absent: bool = False
    hold: bool = False
    if_gone: Literal["refuse", "keep"] = "refuse"


class Group(Struct):
    """A group of the host."""

    name: str
    gid: int | None = None
    system: bool = False
    absent: bool = False


class User(Struct):
    """A user of the host; `groups` are those that it is in beside its own `group`. Its home is never removed."""

    name: str
    uid: int | None = None
    group: str | None = None
    groups: list[str] = []
    home: str | None = None
    shell: str | None = None
    comment: str | None = None
    system: bool = False
    absent: bool = False


class Module(Struct):
    """A module of the kernel that is loaded now and at boot."""

    name: str


class Sysctl(Struct):
    """A setting of the kernel, such as `net.core.somaxconn`, now and at boot."""

    name: str
    value: str


class HostFile(Struct):
    """Lines in a file that others write too, between two marks that name the block; `absent` takes the block out."""

    name: str
    path: str
    content: str = ""
    comment: str = "#"
    absent: bool = False

    @property
    def label(self) -> str:
        """What tells it from the other blocks of a host."""
        return block_label(self.path, self.name)


def block_label(path: str, name: str) -> str:
    """Return what tells a block from others: the file that it stands in, and its own name there."""
    return f"{path} [{name}]"


class Action(Struct):
    """A command that is run once after a switch that changed one of the paths `on`."""

    name: str
    on: list[str]
    run: list[str]
    timeout: str = "60s"


class Window(Struct):
    """A time that opens by `cron` and stays open for `duration`, in the hours of `time_zone` (IANA)."""

    cron: str
    duration: str
    time_zone: str = "UTC"


class Reboot(Struct):
    """Whether a change of this state reboots the host: `required` when the system says that it must, `always`; `within` a window."""

    when: Literal["required", "always"]
    within: Window | None = None


CONVERGENT = ("repositories", "packages", "groups", "users", "modules", "sysctls", "host_files")
"""Lists of a state, in the order in which they are carried out, that can only go forward: no rollback restores what was before."""


SEALED_LIMIT = 64 * 1024
"""Bytes of one encrypted file in git: a certificate chain with its key has a tenth of it, and each group of a bundle has its own copy."""
SECRET_LIMIT = 64 * 1024
"""Bytes of one secret's value."""


class VaultSource(Struct):
    """A field of a secret in a key/value store (version 2) of Vault or OpenBao, which the host reads by an identity of its own."""

    path: str
    field: str
    mount: str = "secret"


class SopsLeaf(Struct):
    """One value of a SOPS file as it stands there, and the keys that lead to it; places in lists are no part of that."""

    path: list[str]
    value: str


class SopsSource(Struct):
    """A SOPS file whose data key is encrypted with age (`keys`, armoured), and which of its values is meant (`wanted`, from 0).

    All values are here, in the order of the file: only together can they be checked against `mac`.
    """

    leaves: list[SopsLeaf]
    wanted: int
    keys: list[str]
    mac: str
    last_modified: str
    mac_only_encrypted: bool = False


class Secret(Struct):
    """Where a host gets what `${secret.<name>}` stands for: one of these. `age` is an age file, base64; `file` one on the host."""

    name: str
    age: str | None = None
    sops: SopsSource | None = None
    vault: VaultSource | None = None
    file: str | None = None


class State(Struct):
    """All that one host must hold for one fleet, each list sorted by path or name."""

    artifacts: list[Artifact] = []
    files: list[File] = []
    probes: list[Probe] = []
    drift: Literal["enforce", "report"] = "enforce"
    processes: list[Process] = []
    services: list[Service] = []
    actions: list[Action] = []
    reboot: Reboot | None = None
    repositories: list[Repository] = []
    packages: list[Package] = []
    groups: list[Group] = []
    users: list[User] = []
    modules: list[Module] = []
    sysctls: list[Sysctl] = []
    host_files: list[HostFile] = []
    secrets: list[Secret] = []
