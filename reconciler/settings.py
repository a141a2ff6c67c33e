"""What an operator can set, grouped by concern; each field's docstring is its line in docs/settings.md.

Read once, at start, from a TOML file, with command-line options on top; passed on by keyword, never global.
Secrets are named here, never held: a field says which environment variable or file has one.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from agent.protocol.errors import InputError
from reconciler import bounds
from reconciler.bounds import within
from reconciler.publication.keys import KeyRing
from reconciler.publication.pruning.rule import DAYS_LEAST, DAYS_MOST, NEWEST_LEAST
from reconciler.publication.secret_files import SecretFile, named
from reconciler.publication.store import Access, Store, open_store

SETTINGS_LIMIT = 65_536
"""Bytes of a settings file: a hundred times what one needs."""
DAY = 86_400
"""Seconds."""
MIB, TIB = 1024**2, 1024**4


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """Where the fleet repository is, and how patiently it is fetched."""

    repository: str = ""
    """Path, or https or ssh URL (`git@git.example.com:acme/fleets.git`), of the fleet repository."""
    branch: str = ""
    """Branch to follow; empty means the remote's HEAD."""
    poll: Annotated[float, within(0.1, DAY)] = 30.0
    """Seconds between looks at a remote; each is spread by up to 10 %. A local repository is also watched."""
    fetch_timeout: Annotated[float, within(1, DAY)] = 60.0
    """Seconds that one fetch may take."""
    fetch_limit: Annotated[int, within(MIB, TIB)] = 1_073_741_824
    """Bytes that one fetch may bring."""
    credentials: str = ""
    """Where the token for https is: `env:NAME` or `file:PATH`; empty means none is needed."""
    ssh_key: str = ""
    """File with the private key for ssh, without a passphrase and readable for its owner alone."""
    ssh_known_hosts: str = ""
    """File with the host key of the server for ssh, as `ssh-keyscan` prints it; a server that is not in it is refused."""
    notes: bool = True
    """Whether decisions, and what operators did, are written back as git notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """How OPA is found and how long it may think."""

    opa: str = ""
    """Path of an OPA binary; empty means PATH, the cache, then a download or a build of the pinned version."""
    opa_url: str = ""
    """Where the pinned OPA's file is downloaded from, a mirror say; empty means its release page."""
    opa_sha256: Annotated[str, bounds.SHA256] = ""
    """SHA-256 that the downloaded file must have; empty means the one that this version pins. Without either, OPA is built by Go."""
    batch_timeout: Annotated[float, within(0.1, 600)] = 2.0
    """Seconds that one batch of objects may take before its rule and object are singled out."""
    opa_memory: Annotated[int, within(64 * MIB, TIB)] = 1_073_741_824
    """Bytes of memory that OPA may hold; over it, it is started anew and the rule and object are singled out (on Linux)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSettings:
    """Whose commits count whatever the repository says."""

    signers: str = ""
    """File of Signer manifests that are pinned: they judge from the first commit on, and with it commits must be signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where signed files are kept."""

    url: str = ""
    """Directory of the store, or `s3://bucket/prefix`, `gs://…`, `az://…`; empty means `store` in the state directory."""
    endpoint: Annotated[str, bounds.HTTP_URL] = ""
    """Address of the object store; empty means the provider's, or what the environment says."""
    region: str = ""
    """Region of the bucket; empty means what the environment says."""
    credentials: str = ""
    """File, or systemd credential, of lines `AWS_ACCESS_KEY_ID=…` and so on; empty means the environment, or the machine's identity."""
    authority: str = ""
    """File with certificates (PEM) of authorities that the object store's certificate may come from, beside the system's."""
    virtual_hosts: bool = False
    """Whether the bucket is part of the host's name, as some object stores want it, and not of the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """Where signing keys are."""

    directory: str = ""
    """Directory of key files by zone; empty means `keys` in the state directory."""
    passphrase_file: str = ""
    """File with the passphrase of encrypted key files; a name without a slash is a systemd credential of this unit."""
    pin_file: str = ""
    """File with the PIN of a PKCS#11 token, or the name of a systemd credential; `PYKCS11LIB` names the token's module."""
    uris: dict[str, str] = field(default_factory=dict)
    """Keys that are not files in the directory: role → securesystemslib URI, as in `"shop/releases" = "hsm:2?label=ordain"`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Addresses of this process."""

    control: Annotated[str, bounds.ADDRESS] = "127.0.0.1:8420"
    """Where `serve` answers agents and operators, behind TLS; `0.0.0.0:8420` for other machines."""
    local: Annotated[str, bounds.LOOPBACK] = "127.0.0.1:8422"
    """Where `serve` answers /healthz, /readyz, /metrics and webhooks; a loopback address, without TLS."""
    names: Annotated[list[str], bounds.HOSTS] = field(default_factory=list)
    """Names and addresses by which others reach `control`: they stand in the server's certificate, beside `localhost` and the address."""
    files: bool = False
    """Whether `local` also hands out signed files: to caches, and to agents that are not enrolled. `ordain up` always does."""
    health: Annotated[str, bounds.LOOPBACK] = "127.0.0.1:8421"
    """Where `reconcile` answers /healthz, /readyz and /metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Where `serve` remembers agents, certificates, tokens and reports."""

    url: str = ""
    """`sqlite:///PATH` or `postgresql://USER@HOST/DATABASE`; empty means `registry.db` in the state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """For how many days `serve` remembers what a Tenant manifest says nothing else about."""

    receipts: Annotated[float, within(1, 3650)] = 400.0
    """What became of a release on each host."""
    events: Annotated[float, within(1, 3650)] = 90.0
    """What happened on hosts: drift, problems, repairs."""
    audit: Annotated[float, within(1, 3650)] = 1100.0
    """Who did what; the first entry that is left still proves the ones after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcSettings:
    """What `ordain gc` leaves in the store of what no host is offered any more; what hosts run or may go back to always stays."""

    newest: Annotated[int, within(NEWEST_LEAST, 1_000_000)] = 5
    """Versions of each list and metadata file that stay however old they are."""
    days: Annotated[float, within(DAYS_LEAST, DAYS_MOST)] = 90.0
    """Days for which bundles, members and metadata stay after they went out of use."""
    history: Annotated[float, within(DAYS_LEAST, DAYS_MOST)] = 400.0
    """Days for which lists of releases and rollout documents stay, `days` or more: `ordain why` and `ordain state` look back by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """How hosts prove who they are."""

    certificate_life: Annotated[float, within(5, 30 * DAY)] = 86_400.0
    """Seconds that an agent's certificate lives; it is renewed at half of that."""
    platforms_authority: str = ""
    """File with certificates (PEM) of authorities that issuers of platforms' tokens may have theirs from, beside the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoritySettings:
    """How a new certificate authority is tried on some hosts before it is for all."""

    canary_share: Annotated[int, within(1, 100)] = 10
    """Percentage of hosts that it is tried on first."""
    canary_labels: dict[str, str] = field(default_factory=dict)
    """Labels of hosts that it is tried on instead: those that have all of them."""
    canary_time: Annotated[float, within(1, 366 * DAY)] = 86_400.0
    """Seconds that it is tried for; longer than half the life of a certificate, so that each chosen host renews."""
    canary_grace: Annotated[float, within(1, 366 * DAY)] = 600.0
    """Seconds within which a host comes back with its new certificate; else it has failed."""
    threshold: Annotated[int, within(1, 100)] = 95
    """Percentage of hosts that must come back; below, the change is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """Who signs in, and who runs the installation; what others may do, Role manifests say."""

    admins: Annotated[list[str], bounds.SUBJECTS] = field(default_factory=list)
    """Subjects who may do everything in all tenants, each by name, as in `group:https://login.example.com#platform`."""
    issuer: Annotated[str, bounds.HTTPS_URL] = ""
    """The identity provider by whose word operators sign in (OpenID Connect), as `iss` of its tokens says; empty means nobody does."""
    client_id: str = ""
    """What this installation is called there; a public client with the device flow."""
    audience: str = ""
    """What id tokens must be for; empty means the client id."""
    groups_claim: str = "groups"
    """The claim of an id token that lists a person's groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """Webhooks that `serve` takes at /v1/hooks/…: a forge is heard once its secret is named, as a file or a systemd credential."""

    github: str = ""
    """File with the secret of GitHub's webhook."""
    gitlab: str = ""
    """File with the signing token of GitLab's webhook, or with its secret token."""
    gitea: str = ""
    """File with the secret of the webhook of Gitea or Forgejo."""
    generic: str = ""
    """File with the secret (`whsec_…`) of a webhook signed as Standard Webhooks has it."""
    branch: str = ""
    """Branch whose pushes count; empty means any."""

    def secrets(self) -> dict[str, SecretFile]:
        """Return the secret of each forge that has one."""
        forges = {"github": self.github, "gitlab": self.gitlab, "gitea": self.gitea, "generic": self.generic}
        given = {forge: name for forge, name in forges.items() if name}
        return {forge: SecretFile(name=name, purpose=f"the secret of the webhook of [hooks] {forge}") for forge, name in given.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Whom `serve` asks what strategies' `health.metrics` say; without it such waves hold."""

    prometheus: str = ""
    """Address of Prometheus, or of what speaks like it: `http://127.0.0.1:9090`, `https://mimir.example.com/prometheus`."""
    token: str = ""
    """File, or systemd credential, with the bearer token for it; only sent over https, or to this machine."""
    authority: str = ""
    """File with certificates (PEM) of authorities that its certificate may come from, instead of the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How a process says what it does."""

    format: Annotated[str, bounds.one_of("text", "json")] = "text"
    """How lines look, one a step: `text` for people, `json` for machines."""
    level: Annotated[str, bounds.one_of("debug", "info", "warning", "error", capitals=True)] = "info"
    """The least that is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a control-plane process."""

    state: Path
    """Directory of everything that this process keeps."""
    source: SourceSettings = field(default_factory=SourceSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    signatures: SignatureSettings = field(default_factory=SignatureSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    keys: KeySettings = field(default_factory=KeySettings)
    listen: ListenSettings = field(default_factory=ListenSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    gc: GcSettings = field(default_factory=GcSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    authority: AuthoritySettings = field(default_factory=AuthoritySettings)
    operators: OperatorSettings = field(default_factory=OperatorSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def store_url(self) -> str:
        """Where the store is, the default filled in."""
        return self.store.url or str(self.state / "store")

    def open_store(self) -> Store:
        """Return the store; raise `InputError` for one that can't be."""
        store = self.store
        access = Access(
            endpoint=store.endpoint,
            region=store.region,
            credentials=store.credentials,
            authority=store.authority,
            virtual_hosts=store.virtual_hosts,
        )
        return open_store(self.store_url, access)

    @property
    def registry_url(self) -> str:
        """Where the registry is, the default filled in."""
        return self.registry.url or f"sqlite:///{self.state.resolve() / 'registry.db'}"

    @property
    def keys_directory(self) -> Path:
        """Where the keys are, the default filled in."""
        return Path(self.keys.directory) if self.keys.directory else self.state / "keys"

    def ring(self, zone: Literal["pipeline", "control"]) -> KeyRing:
        """Return a zone's key ring."""
        secrets = named(passphrase_file=self.keys.passphrase_file, pin_file=self.keys.pin_file)
        return KeyRing(zone=zone, directory=self.keys_directory / zone, uris=self.keys.uris, secrets=secrets)


GROUPS = {
    "source": SourceSettings,
    "policy": PolicySettings,
    "signatures": SignatureSettings,
    "store": StoreSettings,
    "keys": KeySettings,
    "listen": ListenSettings,
    "registry": RegistrySettings,
    "retention": RetentionSettings,
    "gc": GcSettings,
    "identity": IdentitySettings,
    "authority": AuthoritySettings,
    "operators": OperatorSettings,
    "hooks": HookSettings,
    "metrics": MetricsSettings,
    "log": LogSettings,
}


def _group(file: Path, name: str, kind: type[Any], values: object) -> Any:
    if not isinstance(values, dict):
        message = f"{file}: [{name}] must be a table"
        raise InputError(message)
    fields = {one.name: bounds.bare(one.type) for one in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            message = f"{file}: [{name}] has no setting {key!r}; it has {', '.join(sorted(fields))}"
            raise InputError(message)
        wanted, allowed = fields[key]
        if not _fits(value, wanted):
            message = f"{file}: [{name}] {key} must be a {getattr(wanted, '__name__', wanted)}, not {value!r}"
            raise InputError(message)
        for one in value if isinstance(value, list) else [value]:
            if allowed is not None and not allowed.holds(one):
                message = f"{file}: [{name}] {key} must be {allowed.said}, not {one!r}"
                raise InputError(message)
    return kind(**values)


def _fits(value: object, wanted: object) -> bool:
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted == dict[str, str]:
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    if wanted == list[str]:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return type(value) is wanted


def load(file: Path | None, *, state: Path) -> Settings:
    """Read a settings file, or the defaults where there is none.

    Raises:
        InputError: unreadable, not TOML, or a setting that doesn't exist, has the wrong type, or is not what it may be.
    """
    if file is None:
        return Settings(state=state)
    try:
        data = file.read_bytes()
        if len(data) > SETTINGS_LIMIT:
            message = f"{file}: more than {SETTINGS_LIMIT} bytes; this is not a settings file"
            raise InputError(message)
        tables = tomllib.loads(data.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{file}: {getattr(error, 'strerror', None) or error}"
        raise InputError(message) from error
    unknown = sorted(tables.keys() - GROUPS.keys())
    if unknown:
        message = f"{file}: there is no [{unknown[0]}]; there are {', '.join(sorted(GROUPS))}"
        raise InputError(message)
    groups = {name: _group(file, name, GROUPS[name], values) for name, values in tables.items()}
    loaded = _grown(Settings(state=state, **groups), tables)
    _require_together(file, loaded)
    return loaded


def _grown(loaded: Settings, tables: Mapping[str, Any]) -> Settings:
    """Return settings in which what nobody stated is as long as what was stated needs it to be."""
    authority, gc = loaded.authority, loaded.gc
    if "canary_time" not in tables.get("authority", {}):
        authority = replace(authority, canary_time=max(authority.canary_time, loaded.identity.certificate_life))
    if "history" not in tables.get("gc", {}):
        gc = replace(gc, history=max(gc.history, gc.days))
    return replace(loaded, authority=authority, gc=gc)


def _require_together(file: Path, loaded: Settings) -> None:
    """Raise `InputError` for settings of which one bounds another."""
    trial, half = loaded.authority.canary_time, loaded.identity.certificate_life / 2
    if trial <= half:
        life = f"half of [identity] certificate_life, so that each chosen host renews: more than {half:g}"
        message = f"{file}: [authority] canary_time must be longer than {life}, not {trial:g}"
        raise InputError(message)
    if loaded.gc.history < loaded.gc.days:
        message = f"{file}: [gc] history must be [gc] days, {loaded.gc.days:g}, or more, not {loaded.gc.history:g}"
        raise InputError(message)
