"""A small fleet repository in memory, whose files tests replace one by one: what compile tests start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import dedent

from reconciler.pipeline.compile.compiler import Compiled, compile_fleet
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.compile.world import World, build
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import Document, Layout, is_manifest, layout_of, locate, parse_file
from reconciler.pipeline.tree import MemoryTree
from reconciler.pipeline.validation import validate

COLLECTOR = "tenants/shop/components/collector.yaml"
WEB = "tenants/shop/fleets/web.yaml"

FILES = {
    "ordain.yaml": "{apiVersion: ordain.dev/v1, kind: Repository, metadata: {name: acme}, spec: {format: 1}}",
    "library/base-dirs.yaml": """
        apiVersion: ordain.dev/v1
        kind: Component
        metadata: {name: base-dirs}
        spec:
          files: [{path: /etc/otelcol, type: directory, mode: "0755"}]
        """,
    "tenants/shop/tenant.yaml": "{apiVersion: ordain.dev/v1, kind: Tenant, metadata: {name: shop}, spec: {}}",
    "tenants/shop/agents.yaml": """
        apiVersion: ordain.dev/v1
        kind: Agent
        metadata: {name: web-01, tenant: shop, labels: {role: web, region: eu, rack: r1}}
        spec: {}
        ---
        apiVersion: ordain.dev/v1
        kind: Agent
        metadata: {name: web-02, tenant: shop, labels: {role: web, region: us, rack: r2}}
        spec: {}
        ---
        apiVersion: ordain.dev/v1
        kind: AgentPool
        metadata: {name: runners, tenant: shop, labels: {role: web, region: eu}}
        spec: {maximum: 500, lease: 2h}
        """,
    COLLECTOR: """
        apiVersion: ordain.dev/v1
        kind: Component
        metadata: {name: collector, tenant: shop}
        spec:
          includes: [{name: library/base-dirs}]
          parameters:
            sampling: {type: number, default: 0.05, minimum: 0, maximum: 1}
            endpoint: {type: string}
          artifacts:
            - {name: otelcol, path: /opt/otelcol, url: "https://example.com/otelcol", sha256: "%s"}
          files:
            - path: /etc/otelcol/config.yaml
              mode: "0640"
              owner: otel
              content: |
                region: ${labels.region}
                host: ${agent.name}
                sampling: ${parameters.sampling}
                endpoint: ${parameters.endpoint}
              check: [/opt/otelcol, validate, --config, "{staged}"]
          probes:
            - {name: ready, http: "http://127.0.0.1:13133/", every: 5s}
        """
    % ("ab" * 32),
    WEB: """
        apiVersion: ordain.dev/v1
        kind: Fleet
        metadata: {name: web, tenant: shop}
        spec:
          selector: {matchLabels: {role: web}}
          components:
            - {name: collector, parameters: {sampling: 0.1}}
          variants:
            - {matchLabels: {region: eu}, parameters: {collector: {endpoint: otel-fra.example.com}}}
            - {matchLabels: {region: us}, parameters: {collector: {endpoint: otel-iad.example.com}}}
          modes:
            - {name: incident, parameters: {collector: {sampling: 1.0}}, atMost: 4h}
        """,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files of a fleet repository; every manifest among them must pass its schema."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def tree(self) -> MemoryTree:
        return MemoryTree(self.files)

    @property
    def layout(self) -> Layout:
        return layout_of(next(iter(parse_file("ordain.yaml", self.files["ordain.yaml"]).documents), None))

    def documents(self, path: str) -> tuple[Document, ...]:
        layout = self.layout
        if path not in self.files or not is_manifest(path, layout):
            return ()
        parsed = parse_file(path, self.files[path])
        found = [*parsed.findings, *(one for document in parsed.documents for one in validate(document, layout) if one.action == "deny")]
        assert found == [], "a case of this module must pass its schema"
        return parsed.documents

    @property
    def world(self) -> World:
        return build((document for path in self.files for document in self.documents(path)), self.layout)

    def findings(self) -> list[Finding]:
        return check(self.world, self.tree)

    def compile(self, fleet: str = "shop/web") -> Compiled:
        tenant, _, name = fleet.partition("/")
        return compile_fleet(self.world, self.tree, (tenant, name))

    def shown(self, place: Place) -> str:
        """Return the text of the line at a place."""
        return locate(self.files[place.file], place)[2].strip()

    def line(self, place: Place) -> int:
        return locate(self.files[place.file], place)[0]

    def write(self, path: str, text: str | bytes | None) -> "Case":
        """Return the case with a file written, or removed."""
        files = {name: data for name, data in self.files.items() if name != path}
        return Case(files=files if text is None else {**files, path: text if isinstance(text, bytes) else dedent(text).strip().encode()})

    def edit(self, path: str, old: str, new: str) -> "Case":
        """Return the case with a text in a file replaced, which must be there."""
        before = self.files[path].decode()
        assert old in before
        return self.write(path, before.replace(old, new))

    def add(self, path: str, text: str) -> "Case":
        """Return the case with a document added to a file."""
        return self.write(path, self.files[path].decode() + "\n---\n" + dedent(text).strip())


def shop() -> Case:
    """Return the small repository: one tenant, two agents and a pool, one component and the library's, one fleet."""
    case = Case()
    for path, text in FILES.items():
        case = case.write(path, text)
    return case


def component(name: str, spec: str, tenant: str = "shop") -> str:
    """Return a component with a spec in flow style."""
    owner = f", tenant: {tenant}" if tenant else ""
    return f"{{apiVersion: ordain.dev/v1, kind: Component, metadata: {{name: {name}{owner}}}, spec: {spec}}}"


def fleet(name: str, spec: str, tenant: str = "shop") -> str:
    """Return a fleet with a spec in flow style."""
    return f"{{apiVersion: ordain.dev/v1, kind: Fleet, metadata: {{name: {name}, tenant: {tenant}}}, spec: {spec}}}"


def agent(name: str, labels: str, tenant: str = "shop") -> str:
    """Return an agent with labels in flow style."""
    return f"{{apiVersion: ordain.dev/v1, kind: Agent, metadata: {{name: {name}, tenant: {tenant}, labels: {labels}}}, spec: {{}}}}"
