"""`ordain why`: each line of each file has an answer that holds, and what can't be answered is said."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.protocol.errors import InputError
from agent.protocol.rendering import finish
from reconciler.cli import cli
from reconciler.cli.sources import head_of, place_of
from reconciler.pipeline.acceptance.corpus import load
from reconciler.pipeline.compile.compiler import compile_fleet
from reconciler.pipeline.manifests import DirectoryTree
from reconciler.pipeline.why.address import Address, Host, parse
from reconciler.pipeline.why.answer import Asking, Source, answers
from reconciler.pipeline.why.blame import Blamer
from tests.source_cases import WorkingCopy
from tests.why_cases import GOLDEN, QUESTIONS, ask, history

pytestmark = pytest.mark.needs("git")
EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet-repo"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> WorkingCopy:
    return history(tmp_path_factory.mktemp("why") / "fleets")


@pytest.mark.parametrize("kept", QUESTIONS)
def test_an_answer_reads_as_it_was_read_and_kept(copy: WorkingCopy, kept: str) -> None:
    assert ask(copy.path, *QUESTIONS[kept]) == (GOLDEN / f"{kept}.txt").read_text()


def test_a_program_gets_the_same_answer(copy: WorkingCopy) -> None:
    assert ask(copy.path, *QUESTIONS["variant"], "--format", "json") == (GOLDEN / "variant.json").read_text()


def test_a_line_is_blamed_on_the_commit_that_git_blames(copy: WorkingCopy) -> None:
    asked = json.loads(ask(copy.path, "shop/web-01:/etc/web.conf:2", "--format", "json"))
    for source in asked["answers"][0]["sources"]:
        said = copy.git("blame", "--porcelain", f"-L{source['line']},{source['line']}", "HEAD", "--", source["file"])
        assert source["author"]["commit"] == said.split()[0]


def test_an_earlier_revision_answers_for_itself(copy: WorkingCopy) -> None:
    assert "workers 2" in ask(copy.path, "shop/web-01:/etc/web.conf:2", "--rev", "HEAD~2")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("shop/web-01:/etc/web.cnf", "near it they own"),
        ("shop/web-01:/opt/other", "belongs to none of its fleets (shop/web)"),
        ("shop/web-01:/etc/web.conf:99", "has 8 lines"),
        ("shop/web-01:/etc/web.d:1", "no text of its own"),
        ("shop/web-01:/opt/tool/bin/tool:1", "unpacked as it is"),
        ("shop/web-1:/etc/web.conf", "did you mean web-01?"),
        ("shp/web-01:/etc/web.conf", "tenants are shop"),
        ("shop/web-01/a:/etc/web.conf", "is an agent, not a pool"),
        ("shop/spare:/etc/web.conf", "is in no fleet"),
        ("shop/web-01", "write TENANT/AGENT:PATH"),
        ("Shop:/etc/motd", "names no host"),
        ("web-01:/etc/motd", "write TENANT/AGENT, or TENANT/POOL/ID, such as shop/web-01"),
    ],
)
def test_what_can_not_be_answered_is_said_with_what_is_near(copy: WorkingCopy, question: str, said: str) -> None:
    done = CliRunner().invoke(cli, ["why", question, "--repo", str(copy.path)])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


def test_a_mode_that_does_not_exist_is_refused(copy: WorkingCopy) -> None:
    done = CliRunner().invoke(cli, ["why", "shop/web-01:/etc/web.conf", "--mode", "incidnt", "--repo", str(copy.path)])
    assert "did you mean incident?" in str(done.exception)


@pytest.mark.no_cover
def test_every_line_of_every_file_of_the_example_comes_from_a_line_that_has_it_or_made_it() -> None:
    tree = DirectoryTree(EXAMPLE)
    corpus = load(tree)
    asking, looked_at = Asking(corpus=corpus, blamer=None), 0
    for key in corpus.world.fleets():
        compiled = compile_fleet(corpus.world, tree, key)
        one_of_each = {member.group: name for name, member in (*compiled.agents.items(), *compiled.pools.items())}
        for group, name in one_of_each.items():
            host = Host(tenant=key[0], agent=name if name in compiled.agents else f"{name}/a1")
            for mode in ("", *(one.name for one in compiled.bundle.groups[group].modes)):
                states = {"": compiled.bundle.groups[group].base} | {one.name: one.state for one in compiled.bundle.groups[group].modes}
                for file in states[mode].files:
                    if file.path.startswith("/etc/containers/"):
                        continue  # made of a container as a whole, so no line of it is one that somebody wrote
                    landed = finish(file.content or "", tenant=host.tenant, agent=host.agent).splitlines()
                    for number, line in enumerate(landed, 1):
                        found, _ = answers(asking, Address(host=host, path=file.path, line=number), mode=mode)
                        answer = next(one for one in found if one.fleet == "/".join(key))
                        assert (answer.text, answer.digest) == (line, compiled.digest)
                        assert holds(answer.sources, line), (file.path, number, line, answer.sources)
                        looked_at += 1
    assert looked_at > 300


def holds(sources: tuple[Source, ...], line: str) -> bool:
    """Return whether the manifest line has the line of the host, once the values are put where the references stand."""
    written = sources[0].text
    for source in sources[1:]:
        space = {"parameter": "parameters", "label": "labels"}.get(source.role, source.role)
        assert source.value in source.text or source.role == "agent"
        written = written.replace(f"${{{space}.{source.name}}}", source.value)
    return line.strip() in written.replace("$${", "${").replace('\\"', '"')


def test_a_clone_that_ends_too_soon_credits_nobody_with_what_is_older(copy: WorkingCopy, tmp_path: Path) -> None:
    copy.git("clone", "--quiet", "--depth", "1", f"file://{copy.path}", str(tmp_path / "shallow"))
    said = ask(tmp_path / "shallow", "shop/web-01:/etc/web.conf:1")
    assert "nobody can be named: this clone ends at" in said
    assert "Something else" not in said


def test_a_directory_that_is_no_fleet_repository_is_said_to_be_none(tmp_path: Path) -> None:
    WorkingCopy.make(tmp_path / "other").commit("begin", {"a": "1"})
    done = CliRunner().invoke(cli, ["why", "shop/web-01:/etc/web.conf", "--repo", str(tmp_path / "other")])
    assert "name the fleet repository with --repo" in str(done.exception)


def test_the_version_of_a_refused_file_is_blamed_where_it_was_current(copy: WorkingCopy) -> None:
    place = place_of(copy.path)
    tree, _ = head_of(place, "HEAD~2")
    corpus = load(tree)
    blamer = Blamer(place.git(), copy.git("rev-parse", "HEAD"))
    found, _ = answers(Asking(corpus=corpus, blamer=blamer), parse("shop/web-01:/etc/web.conf:2"))
    assert found[0].sources[1].author is not None
    assert found[0].sources[1].author.commit.subject == "Begin"


@pytest.mark.parametrize(
    ("path", "said", "file"),
    [
        ("process/otelcol", "process otelcol of Component collector", "library/collector/collector.yaml"),
        ("ssh.service", "service ssh.service of Component sshd", "library/sshd/sshd.yaml"),
        ("/etc/hosts", "block /etc/hosts [acme] of Component base-dirs", "library/base-dirs/base-dirs.yaml"),
        ("net.core.somaxconn", "kernel setting net.core.somaxconn of Component base-dirs", "library/base-dirs/base-dirs.yaml"),
        ("package/vector", "package vector of Component log-shipper", "library/log-shipper/log-shipper.yaml"),
    ],
)
def test_what_runs_and_what_is_installed_leads_back_to_its_manifest(path: str, said: str, file: str) -> None:
    corpus = load(DirectoryTree(EXAMPLE))
    address = Address(host=Host(tenant="shop", agent="web-01"), path=path, line=None)
    [answer], _ = answers(Asking(corpus=corpus, blamer=None), address, mode="")
    assert [(one.how, one.file) for one in answer.sources if one.role == "item"] == [(said, file)]


@pytest.mark.parametrize(
    ("tenant", "agent", "path", "said"),
    [
        ("edge", "store-lyon", "caddy", "service caddy.service of Component edge-gateway"),
        ("edge", "store-lyon", "container/caddy", "service caddy.service of Component edge-gateway"),
        ("shop", "runners/7f3a", "reboot", "reboot of Component ci-runner"),
    ],
)
def test_a_container_is_found_by_its_own_name_and_a_reboot_by_what_it_is(tenant: str, agent: str, path: str, said: str) -> None:
    corpus = load(DirectoryTree(EXAMPLE))
    [answer], _ = answers(Asking(corpus=corpus, blamer=None), Address(host=Host(tenant=tenant, agent=agent), path=path, line=None), mode="")
    assert [one.how for one in answer.sources if one.role == "item"] == [said]
