"""A secret that a rule found in what runs on a host is kept back wherever it lands."""

import pytest

from reconciler.pipeline.finding import Finding, Pointer
from reconciler.pipeline.plan.secrets import Veil, veil
from tests.compile_cases import WEB, Case, component, shop

OTHER = "tenants/shop/components/other.yaml"
DIGEST = "ab" * 32
SPEC = f"""{{
  services: [{{name: a.service, unit: "[Service]\\nEnvironment=TOKEN=secret-1", dropIns: [{{name: b.conf, content: "X=secret-2"}}]}}],
  containers: [{{name: edge, image: "e@sha256:{DIGEST}", environment: {{TOKEN: secret-3}}}}],
  processes: [{{name: app, command: [/a], environment: {{TOKEN: secret-4}}}}],
  hostFiles: [{{name: h, path: /etc/hosts, content: "# secret-5"}}]}}"""


def case() -> Case:
    uses = "- {name: collector, parameters: {sampling: 0.1}}"
    return shop().write(OTHER, component("other", SPEC)).edit(WEB, uses, f"{uses}\n    - {{name: other}}")


def veiled(pointer: Pointer) -> Veil:
    """Return what a finding at a place of the component keeps back."""
    [document] = case().documents(OTHER)
    place = document.place(*pointer)
    found = Finding(action="audit", rule="secrets/token", code="x", message="a token", place=place, sensitive=True)
    return veil([([found], [document])])


@pytest.mark.parametrize(
    ("pointer", "kept"),
    [
        (
            ("spec", "services", 0, "unit"),
            {("files", "/etc/systemd/system/a.service"), ("files", "/etc/systemd/system/a.service.d/b.conf")},
        ),
        (("spec", "containers", 0, "environment", "TOKEN"), {("files", "/etc/containers/systemd/edge.container")}),
        (("spec", "hostFiles", 0, "content"), {("hostFiles", "/etc/hosts [h]")}),
    ],
)
def test_what_is_a_text_of_many_lines_is_kept_back_whole(pointer: Pointer, kept: set[tuple[str, str]]) -> None:
    held = veiled(pointer).over(case().compile())
    assert kept <= held.keys()
    assert {field for field, _ in held.keys() - kept} <= {"services"}
    assert set(held.values()) == {"secrets/token found a secret in it"}


def test_a_variable_of_a_process_is_blotted_out() -> None:
    assert veiled(("spec", "processes", 0, "environment", "TOKEN")).texts == ("secret-4",)
