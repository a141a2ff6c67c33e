"""The page about what a host can be held to: each of its examples compiles, and it has one for each thing that there is."""

import re
from pathlib import Path

from reconciler.pipeline.compile.making import MAKERS
from tests.compile_cases import WEB, Case, component, fleet, shop

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hosts.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def repository(text: str, name: str) -> Case:
    """Return a fleet repository whose one fleet consists of an example, and of what it comes after."""
    uses = f"components: [{{name: {name}}}, {{name: before}}]"
    return (
        shop()
        .write(WEB, None)
        .write("tenants/shop/components/example.yaml", text.replace("after: [otelcol]", "after: [before]"))
        .write("tenants/shop/components/before.yaml", component("before", "{processes: [{name: first, command: [/bin/true]}]}"))
        .write("tenants/shop/components/files/acme.crt", b"-----BEGIN CERTIFICATE-----\n")
        .write("tenants/shop/fleets/page.yaml", fleet("page", f"{{selector: {{matchLabels: {{role: web}}}}, {uses}}}"))
    )


def test_every_example_of_the_page_compiles() -> None:
    assert len(EXAMPLES) >= 9
    for text in EXAMPLES:
        [name] = re.findall(r"metadata: \{name: ([a-z]+)", text)
        assert repository(text, name).compile("shop/page").bundle.groups, name


def test_the_page_has_an_example_of_everything_that_a_component_can_hold() -> None:
    shown = {name for text in EXAMPLES for name in re.findall(r"^  ([a-zA-Z]+):", text, re.MULTILINE)}
    assert {*MAKERS, "kernelSettings", "reboot", "after"} - shown - {"artifacts", "probes"} == set()
