"""Secrets in manifests: where they may be declared and referred to, and what of them a bundle holds. Files by the real age and sops."""

import base64
import json
from contextlib import suppress
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import MalformedError
from agent.protocol.state import SEALED_LIMIT
from reconciler.pipeline.compile import sops
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Layout, parse_file
from reconciler.pipeline.validation import validate
from tests.compile_cases import COLLECTOR, WEB, Case, component, shop

SEALED = Path(__file__).parents[1] / "vectors" / "secrets"
FILES = "tenants/shop/components/files/"
USED = "{files: [{path: /etc/a, content: '${secret.db}'}], secrets: [%s]}"
TO = pyrage.x25519.Identity.generate().to_public()


def case(spec: str, **files: bytes) -> Case:
    fleet = shop().edit(WEB, "{name: collector, parameters: {sampling: 0.1}}", "{name: collector}")
    fleet = fleet.edit(WEB, "{collector: {endpoint: otel-fra.example.com}}", "{}").edit(
        WEB, "{collector: {endpoint: otel-iad.example.com}}", "{}"
    )
    fleet = fleet.edit(WEB, "{collector: {sampling: 1.0}}", "{}").write(COLLECTOR, component("collector", spec))
    return Case(files={**fleet.files, **{FILES + name.replace("_", "."): data for name, data in files.items()}})


def found(spec: str, **files: bytes) -> list[Finding]:
    return case(spec, **files).findings()


def rules(findings: list[Finding]) -> list[str]:
    return [f"{finding.action} {finding.rule}" for finding in findings]


def state_of(spec: str, **files: bytes) -> dict[str, object]:
    compiled = case(spec, **files).compile()
    groups: dict[str, dict[str, dict[str, object]]] = json.loads(compiled.data)["ordain"]["groups"]
    return next(iter(groups.values()))["base"]


def test_an_age_file_travels_as_it_is_and_the_reference_stays() -> None:
    sealed = pyrage.encrypt(b"planted-5d1f", [TO])
    spec = USED % "{name: db, source: files/db.age}"
    assert found(spec, db_age=sealed) == []
    state = state_of(spec, db_age=sealed)
    assert state["secrets"] == [{"name": "db", "age": base64.b64encode(sealed).decode()}]
    assert state["files"] == [{"path": "/etc/a", "content": "${secret.db}"}]


@pytest.mark.parametrize(
    ("file", "key", "count"),
    [("app.sops.yaml", "db.password", 17), ("app.sops.json", "a.b.1", 5), ("app.sops.env", "B", 3), ("bytes.sops.json", "", 1)],
)
def test_a_sops_file_travels_as_its_values_in_order_each_as_it_stands_there(file: str, key: str, count: int) -> None:
    source = sops.parse((SEALED / file).read_bytes()).source(key)
    assert len(source.leaves) == count
    assert source.leaves[source.wanted].value.startswith("ENC[AES256_GCM,")
    assert source.keys[0].startswith("-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert source.last_modified == "2026-11-23T07:56:50Z"


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        (b"password: planted-5d1f\n", "password", "neither an age file nor one of SOPS"),
        (b"planted-5d1f", "", "neither an age file nor one of SOPS"),
        (b"\xff\xfe\x00", "", "no age file"),
        ((SEALED / "app.sops.yaml").read_bytes(), "db.passwrd", "did you mean db.password?"),
        ((SEALED / "app.sops.yaml").read_bytes(), "", "holds 17 values"),
        ((SEALED / "app.sops.yaml").read_bytes(), "plain_unencrypted.s", "is not encrypted"),
        ((SEALED / "app.sops.yaml").read_bytes().replace(b"age:", b"pgp:"), "db.password", "no age recipient"),
        (pyrage.encrypt(b"x", [TO]), "db", "all of it is the secret"),
        (pyrage.encrypt(b"x" * SEALED_LIMIT, [TO]), "", "more than the 65,536"),
    ],
)
def test_a_source_that_is_no_encrypted_file_is_refused_and_not_repeated(data: bytes, key: str, words: str) -> None:
    stated = f", key: {key}" if key else ""
    findings = found(USED % f"{{name: db, source: files/db.age{stated}}}", db_age=data)
    [finding] = [one for one in findings if one.rule != "manifest/secret-recipients"]
    assert rules([finding]) == ["deny manifest/secret-source"]
    assert words in finding.message
    assert "planted" not in finding.message
    assert finding.place.pointer == ("spec", "secrets", 0, "source")
    assert finding.fleets == {"shop/web"}


def test_a_source_that_is_missing_is_said_as_of_any_file() -> None:
    assert rules(found(USED % "{name: db, source: files/db.age}")) == ["deny manifest/missing-source"]


LOCAL = "secrets: [{name: db, file: /etc/ordain/secrets/db}]"


@pytest.mark.parametrize(
    ("spec", "rule", "words"),
    [
        (
            "{files: [{path: /etc/a, content: 'a ${secret.bd}'}, {path: /b, content: '${secret.db}'}], %s}",
            "undeclared-secret",
            "there are: db",
        ),
        ("{files: [{path: /etc/a, mode: '0640', content: '${secret.db}'}], %s}", "secret-mode", "mode 0640"),
        ("{processes: [{name: a, command: [/bin/a, '${secret.db}']}], %s}", "secret-place", "others can read it"),
        (
            "{actions: [{name: a, on: [/etc/a], run: [/bin/a, '${secret.db}']}], files: [{path: /etc/a, content: x}], %s}",
            "secret-place",
            "others",
        ),
        ("{files: [{path: /etc/a, content: x, check: [/bin/a, '${secret.db}']}], %s}", "secret-place", "others"),
        ("{hostFiles: [{name: a, path: /etc/hosts, content: '${secret.db}'}], %s}", "secret-place", "others"),
        ("{services: [{name: a.service, unit: '${secret.db}'}], %s}", "secret-place", "others"),
        ("{probes: [{name: a, http: 'http://${secret.db}/'}], %s}", "secret-place", "others"),
        ("{files: [{path: '/etc/${secret.db}', content: '${secret.db}'}], %s}", "reference-place", "not filled in"),
    ],
)
def test_a_reference_that_is_misplaced_or_leads_nowhere_is_refused_at_its_line(spec: str, rule: str, words: str) -> None:
    denied = [one for one in found(spec % LOCAL) if one.action == "deny"]
    assert [one.rule for one in denied] == [f"manifest/{rule}"]
    assert words in denied[0].message
    assert denied[0].place.file == COLLECTOR


def test_a_secret_that_no_text_refers_to_is_a_warning() -> None:
    assert rules(found(f"{{files: [{{path: /etc/a, content: x}}], {LOCAL}}}")) == ["warn manifest/unused-secret"]


def test_a_component_may_refer_to_a_secret_of_one_that_it_includes() -> None:
    other = component("vault", f"{{{LOCAL}}}")
    spec = "{includes: [{name: vault}], processes: [{name: a, command: [/bin/a], environment: {PW: '${secret.db}'}}]}"
    both = case(spec).write("tenants/shop/components/vault.yaml", other)
    assert both.findings() == []
    states = [group.base for group in both.compile().bundle.groups.values()]
    assert {secret.file for state in states for secret in state.secrets} == {"/etc/ordain/secrets/db"}


def test_a_path_in_a_vault_may_differ_by_label() -> None:
    spec = USED % "{name: db, vault: {path: 'apps/${labels.region}/db', field: password}}"
    groups = case(spec).compile().bundle.groups.values()
    assert sorted(secret.vault.path for group in groups for secret in group.base.secrets if secret.vault) == ["apps/eu/db", "apps/us/db"]


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("{name: db}", "needs one of source, vault and file"),
        ("{name: db, file: /etc/a, source: files/a}", "has source already"),
        ("{name: db, file: /etc/a, key: a}", "key belongs to a source"),
    ],
)
def test_a_secret_comes_from_exactly_one_place(secret: str, words: str) -> None:
    document = parse_file(COLLECTOR, component("collector", f"{{secrets: [{secret}]}}").encode()).documents[0]
    assert [words in finding.message for finding in validate(document, Layout())] == [True]


@given(data=st.binary(max_size=200), at=st.integers(min_value=0, max_value=2000))
def test_a_damaged_sops_file_is_refused_in_our_words_or_read_as_one(data: bytes, at: int) -> None:
    for file in ("app.sops.yaml", "app.sops.json", "app.sops.env"):
        whole = (SEALED / file).read_bytes()
        with suppress(MalformedError):
            sops.parse(whole[:at] + data + whole[at + len(data) :]).source("")
    with suppress(MalformedError):
        sops.parse(data)
