"""A small fleet repository as text, and decisions on changes of it by a real OPA."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.pipeline.acceptance import EMPTY_CORPUS, Appointment, Corpus, Decision, Facts, Judges, Released, appoint, decide, loosened
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.tree import MemoryTree, difference

NOW = "2026-11-22T12:00:00Z"
REPOSITORY = """\
apiVersion: ordain.dev/v1
kind: Repository
metadata: {name: acme}
spec:
  format: 1
"""


def tenant(name: str) -> str:
    """Return a Tenant manifest."""
    return f"apiVersion: ordain.dev/v1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{description: A tenant of the tests.}}\n"


def agent(name: str, *, owner: str = "shop", **labels: str) -> str:
    """Return an Agent manifest."""
    pairs = ", ".join(f'{key}: "{value}"' for key, value in labels.items())
    return f"apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {{name: {name}, tenant: {owner}, labels: {{{pairs}}}}}\nspec: {{}}\n"


def component(name: str, path: str, content: str = "hello", *, owner: str = "shop", mode: str = "0644") -> str:
    """Return a Component with one file."""
    return (
        f"apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {{name: {name}, tenant: {owner}, labels: {{owner: ops}}}}\n"
        f"spec:\n  description: A component of the tests.\n  files:\n    - path: {path}\n"
        f'      mode: "{mode}"\n      content: "{content}"\n'
    )


def fleet(name: str, components: str, *, owner: str = "shop", **match: str) -> str:
    """Return a Fleet of named components."""
    pairs = ", ".join(f'{key}: "{value}"' for key, value in match.items())
    return (
        f"apiVersion: ordain.dev/v1\nkind: Fleet\nmetadata: {{name: {name}, tenant: {owner}, labels: {{owner: ops}}}}\n"
        f"spec:\n  description: A fleet of the tests.\n  selector: {{matchLabels: {{{pairs}}}}}\n  components: [{{name: {components}}}]\n"
    )


def repository() -> dict[str, str]:
    """Return two fleets of one tenant that share nothing, and one of another tenant."""
    return {
        "ordain.yaml": REPOSITORY,
        "tenants/shop/tenant.yaml": tenant("shop"),
        "tenants/shop/agents/web-01.yaml": agent("web-01", role="web"),
        "tenants/shop/agents/web-02.yaml": agent("web-02", role="web"),
        "tenants/shop/agents/db-01.yaml": agent("db-01", role="db"),
        "tenants/shop/components/motd.yaml": component("motd", "/etc/motd"),
        "tenants/shop/components/backup.yaml": component("backup", "/etc/backup.conf"),
        "tenants/shop/fleets/web.yaml": fleet("web", "motd", role="web"),
        "tenants/shop/fleets/db.yaml": fleet("db", "backup", role="db"),
        "tenants/lab/tenant.yaml": tenant("lab"),
        "tenants/lab/agents/box.yaml": agent("box", owner="lab", role="box"),
        "tenants/lab/components/issue.yaml": component("issue", "/etc/issue", owner="lab"),
        "tenants/lab/fleets/lab.yaml": fleet("lab", "issue", owner="lab", role="box"),
    }


@dataclass
class Bench:
    """Decides on one change after the other, as the loop does, without git and without a store."""

    opa: Path
    cache: Path
    stack: ExitStack
    corpus: Corpus = EMPTY_CORPUS
    released: Released = field(default_factory=Released)
    policies: Policies | None = None
    appointment: Appointment | None = None
    now: str = NOW
    since: str | None = None
    """When it decided last."""
    commits: tuple[Mapping[str, object], ...] = ()

    def decide(self, files: Mapping[str, str]) -> Decision:
        """Propose these files as the new head, and take on what was decided."""
        head = MemoryTree({path: text.encode() for path, text in files.items()})
        changed = difference(self.corpus.tree, head)
        judged = self.policies is None or any(path == "ordain.yaml" or path.startswith("policies/") for path in changed.touched)
        appointment = appoint(head, opa=self.opa, cache=self.cache) if judged else None
        judges = self._judges(appointment)
        decision = decide(
            self.corpus,
            head,
            changed,
            layout=appointment.layout if appointment and appointment.judge else self.corpus.layout,
            judges=judges,
            facts=Facts(before=None, head=None, now=self.now, since=self.since, commits=self.commits),
            released=self.released,
        )
        self.corpus, self.since = decision.corpus, self.now
        self.released = Released(compiled=decision.compiled, frozen=decision.frozen)
        if decision.new_judge:
            self.policies = judges.own
        return decision

    def _judges(self, appointment: Appointment | None) -> Judges:
        if appointment is None:
            return Judges(before=self.policies)
        if appointment.judge is None:
            return Judges(before=self.policies, refused=appointment.findings)
        own = self.stack.enter_context(Policies(appointment.judge, opa=self.opa))
        before = self.policies.judge if self.policies else None
        return Judges(before=self.policies, own=own, refused=appointment.findings, loosened=loosened(before, appointment.judge, self.now))
