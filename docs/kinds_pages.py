"""Write docs/kinds/<kind>.md, made of the schemas: a field is described once, beside what it may be, and the page follows.

tests/unit/test_kinds_pages.py holds the pages to that, and the examples to the schemas.

    .venv/bin/python docs/kinds_pages.py
"""

from collections.abc import Mapping
from pathlib import Path

from reconciler.pipeline.validation import KINDS, schema
from reconciler.pipeline.validation.described import Described, fields

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "kinds"
MADE = "<!-- Made by docs/kinds_pages.py from schemas/{name}.schema.json. Change it there. -->"
EXAMPLES = {
    "Repository": "ordain.yaml",
    "Tenant": "tenants/shop/tenant.yaml",
    "Agent": "tenants/shop/agents/web-01.yaml",
    "AgentPool": "tenants/shop/pools/runners.yaml",
    "Component": "library/collector/collector.yaml",
    "Fleet": "tenants/shop/fleets/web.yaml",
    "Role": "tenants/shop/roles/on-call.yaml",
}
"""Of the example repository, which the tests judge."""
WRITTEN = {
    "Waiver": """\
apiVersion: ordain.dev/v1
kind: Waiver
metadata: {name: legacy-mirror, tenant: shop}
spec:
  rule: supply-chain/https-only
  object: {kind: Component, name: storefront}
  at: artifacts[storefront].url
  value: http://mirror.example.com/storefront
  reason: the mirror has no TLS yet
  owner: ana@example.com
  expires: 2027-01-31
""",
    "Freeze": """\
apiVersion: ordain.dev/v1
kind: Freeze
metadata: {name: peak-season, tenant: shop}
spec:
  fleets: [web]
  reason: peak season
  owner: ana@example.com
  from: 2026-11-26T00:00:00Z
  until: 2026-12-01T00:00:00Z
""",
    "Signer": """\
apiVersion: ordain.dev/v1
kind: Signer
metadata: {name: ana, tenant: shop}
spec:
  keys:
    - ssh: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHwvKcu2Jx2vKpUZlW5CUx01RKxh5nQnd1OZGVKKyh9v ana@example.com
      until: 2027-11-30T00:00:00Z
  may:
    - paths: [tenants/shop/**]
    - {paths: [tenants/shop/waivers/**], kinds: [Waiver]}
""",
}
NOTES = {
    "Repository": "There is one, in `ordain.yaml` at the root. It is part of the judge: what it said before judges a change of it, too.",
    "Tenant": """\
It lies in the tenant's directory, and says that the directory is a tenant. A tenant that is renamed is a new one.

A change that goes over a quota is refused at the file that goes over it; what stands already stays. How fast agents may report is
held by the server. Pools and agents may say themselves how they report: such a block stands for itself, and what it leaves out is as
written below under "left out", not as the tenant has it.""",
    "Agent": """\
One host, by name. Its labels decide in which fleets it is, so a change of them is judged, and rolled out, like any other.

It enrols with a token that was made for its name, or with a token of a platform that `enrolment` names. `ordain import` writes these
manifests from an inventory, `ordain agents labels` changes them.""",
    "AgentPool": """\
Hosts that come and go, and share their labels. Rules that count agents count a pool as its maximum.

They enrol with the pool's token, or by the word of a platform: a CI runner, a pod or a cloud instance shows a token that its platform
signed, and what that says is compared with `claims`, all of which must fit. Of an issuer that serves the whole world (GitHub, GitLab)
a claim must say whose workload it is: `access/shared-issuer` refuses any other.""",
    "Role": """\
Who may operate a tenant, by API and command line. What each role may do is ordain's own policy, or less where the repository has
[rules of its own](../policies.md#rules-about-operators). Several Roles add up.

It is no part of the judge, since it decides nothing about manifests; but whoever signs commits may touch Role manifests only where
their Signer names the kind.""",
    "Component": """\
In a tenant's directory it is that tenant's; in `library/` it has no tenant, and every tenant may use it as `library/<name>`.
References (`${agent.…}`, `${labels.…}`, `${parameters.…}`) stand in contents, commands, environments, units, blocks of
lines, values of kernel settings and probe targets, nowhere else. [Hosts](../hosts.md) has an example of each thing.""",
    "Fleet": """\
It binds components to the hosts that its selector matches. Hosts with the same variants and the same values of the labels that components
refer to are one group, and get the same state.""",
    "Waiver": """\
It excuses one verdict, at one place, with one value, until the end of a day; in an incident until some hours later.
[Waivers](../waivers.md) tells how to write and to keep them.""",
    "Freeze": """\
It stops releases from going forward, never back, from one time to another. A wave that was admitted before goes on to its end;
after the last one the release waits, too, to be stable for everybody.
[Rollouts](../rollouts.md#stop-everything) tells what holds a release besides, and how to freeze at once, without a commit.""",
    "Signer": """\
Those of a tenant lie in `tenants/<tenant>/signers/`, those of the whole repository in `signers/` at the root. [Signers](../signers.md)
tells who may make one, and how to begin. They count where `ordain.yaml` says `signatures: {required: true}`.""",
}


def page(kind: str) -> str:
    """Return the page of a kind, ending in one line feed."""
    name = kind.lower()
    described = schema(name)
    rows = "".join(_row(field) for field in fields(kind))
    return (
        f"# {kind}\n\n{MADE.format(name=name)}\n\n{described['description']}\n\n{NOTES[kind]}\n\n"
        f"## Example\n\n{_example(kind)}\n"
        f"## Fields\n\nThose in bold must be there, where what they stand in is. A field that is not listed is refused.\n\n"
        f"| field | value | what it is for |\n|---|---|---|\n{rows}\n"
        f"`ordain schema {name}` prints the schema, for editors and other programs.\n"
    )


def index() -> str:
    """Return the page that lists all kinds."""
    rows = "".join(f"| [{kind}]({kind.lower()}.md) | {schema(kind.lower())['description']} |\n" for kind in KINDS)
    return (
        "# Kinds of manifests\n\n<!-- Made by docs/kinds_pages.py from the schemas. Change them there. -->\n\n"
        "Every manifest has `apiVersion: ordain.dev/v1`, a kind, metadata and a spec. Unknown fields are refused: no slip is silent.\n\n"
        f"| kind | what it is |\n|---|---|\n{rows}"
    )


def pages() -> Mapping[str, str]:
    """Return all pages by file name."""
    return {"README.md": index()} | {f"{kind.lower()}.md": page(kind) for kind in KINDS}


def _example(kind: str) -> str:
    if kind in WRITTEN:
        return f"```yaml\n{WRITTEN[kind]}```\n"
    path = EXAMPLES[kind]
    text = (ROOT / "examples" / "fleet-repo" / path).read_text()
    shown = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# yaml-language-server"))
    return f"[{path}](../../examples/fleet-repo/{path}) of the example repository:\n\n```yaml\n{shown}```\n"


def _row(field: Described) -> str:
    shown = f"**`{field.path}`**" if field.required else f"`{field.path}`"
    form = f" ({field.form})" if field.form else ""
    cells = (shown, field.value, field.description + form)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for file, text in pages().items():
        (PAGES / file).write_text(text)
