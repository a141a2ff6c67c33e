"""What settings may be: each that is wrong ends the command with a line that names it, and none of them counts in silence."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.protocol.errors import InputError
from reconciler import bounds, settings
from reconciler.cli.run import reconcile, serve
from reconciler.control.registry import retention

ROOT = Path(__file__).parents[2]
WRONG = (
    ("[source]\npoll = 0", "[source] poll must be from 0.1 to 86400, not 0"),
    ("[source]\nfetch_timeout = nan", "[source] fetch_timeout must be from 1 to 86400, not nan"),
    ("[source]\nfetch_limit = -1", "[source] fetch_limit must be"),
    ("[policy]\nbatch_timeout = inf", "[policy] batch_timeout must be"),
    ("[policy]\nopa_memory = 1024", "[policy] opa_memory must be from 67108864"),
    ('[policy]\nopa_sha256 = "abc"', "[policy] opa_sha256 must be 64 of"),
    ('[store]\nendpoint = "s3.example.com"', "[store] endpoint must be an address"),
    ('[listen]\ncontrol = "0.0.0.0:65536"', "[listen] control must be an address"),
    ('[listen]\nlocal = "0.0.0.0:8422"', "[listen] local must be a loopback address"),
    ('[listen]\nhealth = "localhost"', "[listen] health must be a loopback address"),
    ('[listen]\nnames = ["ordain.example.com", "bad name"]', "[listen] names must be DNS names or IP addresses, not 'bad name'"),
    ('[listen]\nnames = ["10.0.0.256"]', "[listen] names must be"),
    ('[listen]\nnames = ["a.*.example.com"]', "[listen] names must be"),
    ('[listen]\nnames = [""]', "[listen] names must be"),
    ("[retention]\naudit = 0", "[retention] audit must be from 1 to 3650, not 0"),
    ("[retention]\nreceipts = 99999", "[retention] receipts must be from 1 to 3650, not 99999"),
    ("[gc]\nnewest = 1", "[gc] newest must be from 2"),
    ("[gc]\ndays = 0.5", "[gc] days must be from 1 to 36500"),
    ("[gc]\ndays = 30\nhistory = 20", "[gc] history must be [gc] days, 30, or more, not 20"),
    ("[identity]\ncertificate_life = 999999999", "[identity] certificate_life must be from 5 to 2592000, not 999999999"),
    ("[identity]\ncertificate_life = -5", "[identity] certificate_life must be"),
    ("[identity]\ncertificate_life = 1", "[identity] certificate_life must be"),
    ("[identity]\ncertificate_life = 40\n[authority]\ncanary_time = 5", "more than 20, not 5"),
    ("[identity]\ncertificate_life = 604800\n[authority]\ncanary_time = 86400", "[authority] canary_time must be longer than half of [id"),
    ("[authority]\ncanary_share = 0", "[authority] canary_share must be from 1 to 100, not 0"),
    ("[authority]\nthreshold = 101", "[authority] threshold must be"),
    ("[authority]\ncanary_grace = 0", "[authority] canary_grace must be"),
    ('[operators]\nadmins = ["ana"]', "[operators] admins must be `operator:NAME`, `oidc:ISSUER#NAME` or `group:ISSUER#NAME`, not 'ana'"),
    ('[operators]\nadmins = ["operator:*"]', "not 'operator:*'"),
    ('[operators]\nissuer = "login.example.com"', "[operators] issuer must be an address"),
    ('[log]\nformat = "xml"', "[log] format must be `text` or `json`, not 'xml'"),
    ('[log]\nlevel = "loud"', "[log] level must be `debug`, `info`, `warning` or `error`, not 'loud'"),
)
RIGHT = (
    '[listen]\ncontrol = "[::1]:0"\nnames = ["ordain", "Ordain.example.com", "10.0.0.2", "fd00::2", "serve_1"]',
    "[retention]\naudit = 3650\nevents = 1",
    "[identity]\ncertificate_life = 604800\n[authority]\ncanary_time = 302401",
    '[operators]\nadmins = ["operator:ana", "oidc:https://login.example.com#ana@example.com", "group:https://login.example.com/a#sre"]',
    '[log]\nformat = "json"\nlevel = "debug"',
    '[log]\nlevel = "INFO"',
    '[listen]\nnames = ["*.example.com"]',
    "[identity]\ncertificate_life = 604800",
    "[gc]\ndays = 500",
)


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_setting_that_is_not_allowed_is_refused_by_name(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        settings.load(file, state=tmp_path)
    assert str(error.value).startswith(f"{file}: [")
    assert said in str(error.value)


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_allowed_loads(text: str, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text(text)
    settings.load(tmp_path / "serve.toml", state=tmp_path)


def test_defaults_are_allowed(tmp_path: Path) -> None:
    lines = []
    for name, group in settings.GROUPS.items():
        given = {key: value for key, value in vars_of(group()).items() if not isinstance(value, dict)}
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in given.items())]
    (tmp_path / "all.toml").write_text("\n".join(lines))
    assert settings.load(tmp_path / "all.toml", state=tmp_path) == settings.load(None, state=tmp_path)


def vars_of(group: object) -> dict[str, object]:
    """Return the settings of a group, which has slots."""
    return {name: getattr(group, name) for name in group.__slots__}  # type: ignore[attr-defined]


def test_admins_are_named_as_roles_name_them() -> None:
    role = json.loads((ROOT / "schemas/role.schema.json").read_text())
    assert role["properties"]["spec"]["properties"]["subjects"]["items"]["pattern"] == f"^({bounds.SUBJECT.pattern})$"


def test_retention_that_is_allowed_is_kept_to_the_day() -> None:
    assert (retention.LEAST.days, retention.MOST.days) == (1, 3650)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('[source]\nssh_key = "/nope"\nssh_known_hosts = "/dev/null"\n', "[source] ssh_key: /nope: No such file"),
        ('[source]\nssh_key = "/dev/null"\nssh_known_hosts = "/nope"\n', "[source] ssh_known_hosts: /nope: No such file"),
        ('[keys]\npassphrase_file = "/nope"\n', "/nope: No such file or directory; it should hold what unlocks the private keys"),
    ],
)
def test_reconcile_ends_at_its_start_where_a_file_that_is_named_cant_be_read(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "reconcile.toml"
    file.write_text(line)
    error = CliRunner().invoke(
        reconcile, ["--state", str(tmp_path / "state"), "--settings", str(file), "--repo", str(tmp_path), "--listen", "127.0.0.1:0"]
    )
    assert isinstance(error.exception, InputError)
    assert said in str(error.exception)


@pytest.mark.needs("opa")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('[keys]\npassphrase_file = "/nope"\n', "/nope: No such file or directory; it should hold what unlocks the private keys"),
        ('[identity]\nplatforms_authority = "/nope"\n', "[identity] platforms_authority: /nope"),
        ('[metrics]\nprometheus = "https://127.0.0.1:9"\nauthority = "/nope"\n', "[metrics] authority: /nope"),
    ],
)
def test_serve_ends_at_its_start_where_a_file_that_is_named_cant_be_read(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(line)
    words = ["--state", str(tmp_path / "state"), "--settings", str(file), "--listen", "127.0.0.1:0", "--local", "127.0.0.1:0"]
    error = CliRunner().invoke(serve, words).exception
    assert isinstance(error, InputError)
    assert said in str(error)
