"""No form of a plan lets what a pull request says pass for something else, or grows beyond its reader."""

import json
import re
from dataclasses import replace
from typing import Any

import click
import pytest

from reconciler.cli.planned import FORMATS, render, words
from reconciler.cli.planned.checks import checks
from reconciler.cli.report.markdown import LIMIT
from reconciler.pipeline.finding import Verdict, Waived, as_json
from reconciler.pipeline.plan.shape import (
    Difference,
    Fleet,
    Hosts,
    Impact,
    Item,
    JudgeChange,
    Move,
    Object,
    Objects,
    Plan,
    Signatures,
    UsedWaiver,
    Verdicts,
    Wave,
)

EVIL = "<img src=x onerror=alert(1)> ![x](http://evil) @acme/ops </code></details> ``` ~~~ \x1b[31m\n# big \u202e"
"""What a manifest may hold in any text."""
JUDGED = Verdict(
    action="deny",
    rule="custom/a/b",
    code="x",
    message=EVIL,
    remedy=EVIL,
    file=EVIL,
    line=1,
    column=1,
    pointer="",
    object=None,
    waived=Waived(waiver=EVIL, owner=EVIL, reason=EVIL, until=EVIL, file=EVIL),
)
VERDICT: dict[str, Any] = {**as_json(JUDGED), "blocking": True, "fingerprint": ""}
HOSTS = Hosts(count=3, names=(EVIL, "web-01"), more=1)
FLEET = Fleet(
    fleet=EVIL,
    kind="changed",
    file=EVIL,
    members=3,
    hit=HOSTS,
    share=100.0,
    leaving=HOSTS,
    before="0" * 64,
    differences=(
        Difference(
            hosts=HOSTS,
            items=(
                Item(field="files", name=EVIL, change="removed", mode=EVIL, lines=(f"-{EVIL}", "+```", "+</pre>")),
                Item(field="processes", name=EVIL, change="changed", withheld=EVIL, more=3),
            ),
            more=2,
        ),
    ),
    more=1,
    waves=(Wave(name=EVIL, hosts=HOSTS, hit=1, total=3, selector={EVIL: EVIL}, earliest="2026-11-23T12:00:00Z", waits_for=EVIL),),
    held=EVIL,
    uncompiled="",
    notes=(EVIL,),
)
WAIVER = UsedWaiver(name=EVIL, tenant=EVIL, file=EVIL, rule=EVIL, object=EVIL, owner=EVIL, expires=EVIL, days=3, used=True, expiring=True)
GRANTED = replace(WAIVER, granted=f"signed by {EVIL}")
OBJECT = Object(kind="Agent", tenant=EVIL, name=EVIL, file=EVIL)
PLAN = Plan(
    base="0" * 40,
    head=None,
    at="2026-11-23T12:00:00Z",
    accepted=False,
    unjudged=False,
    signatures=Signatures(sentence="signatures are off"),
    judge=JudgeChange(changed=True, loosened=(EVIL,), refused=(EVIL,), base_only=(VERDICT,), head_only=(VERDICT,)),
    objects=Objects(added=(OBJECT,), changed=(OBJECT,), removed=(OBJECT,)),
    impact=Impact(agents=3, total=3, share=100.0),
    fleets=(FLEET, replace(FLEET, kind="deleted", uncompiled=EVIL)),
    moves=(Move(tenant=EVIL, host=EVIL, left=(EVIL,), joined=(EVIL,)),),
    verdicts=Verdicts(new=(VERDICT, VERDICT | {"blocking": False, "action": "warn"}), gone=(VERDICT,), unchanged=(VERDICT,), more=4),
    waivers=(WAIVER, GRANTED),
    more_fleets=2,
    more_moves=1,
)


def test_a_page_holds_no_tag_of_anybody_else() -> None:
    page = render(PLAN, "html")
    assert "<img" not in page
    tags = set(re.findall(r"</?([a-z0-9]+)", page.partition("<body>")[2]))
    assert tags <= {
        "p",
        "h1",
        "h2",
        "span",
        "ul",
        "li",
        "br",
        "code",
        "details",
        "summary",
        "pre",
        "ins",
        "del",
        "table",
        "tr",
        "th",
        "td",
        "body",
        "html",
    }
    assert "http" not in page.replace("http-equiv", "").replace("(http://evil)", "")


def test_a_comment_holds_what_others_say_in_code_alone() -> None:
    told = render(PLAN, "markdown")
    bare = re.sub(r"^(`{3,})(text|diff)\n.*?^\1$", "", told, flags=re.MULTILINE | re.DOTALL)
    bare = re.sub(r"<code>[^<\n]*</code>", "", bare)
    assert "evil" in told
    assert not re.search(r"evil|acme|img|# big|\x1b|\u202e", bare)
    assert bare.count("<details") == bare.count("</details>")


def test_a_terminal_gets_no_signs_but_our_own() -> None:
    assert all(line.isprintable() for line in click.unstyle(render(PLAN, "text")).split("\n"))
    assert click.unstyle(render(PLAN, "text")).startswith("note: signatures are off\n")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_form_tells_of_everything_there_is(form: str) -> None:
    told = click.unstyle(render(PLAN, form))
    for word in ("loosened", "removed", "custom/a/b", "web-01", "processes" if form == "json" else "process", "signatures are off"):
        assert word.lower() in told.lower(), word


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"json"}))
def test_only_what_the_change_itself_grants_is_said_to_be_so(form: str) -> None:
    assert words.GRANTS in click.unstyle(render(PLAN, form))
    assert words.GRANTS not in click.unstyle(render(replace(PLAN, waivers=(WAIVER,)), form))
    assert "1 waiver granted by the change itself" in checks(replace(PLAN, accepted=True, verdicts=Verdicts()))[1].text


def test_a_comment_stays_within_its_limit_whatever_there_is() -> None:
    verdicts = tuple(VERDICT | {"message": f"{number} " + "long " * 200} for number in range(200))
    crowd = replace(
        PLAN, fleets=(FLEET,) * 200, verdicts=Verdicts(new=verdicts, gone=verdicts, unchanged=verdicts), waivers=(GRANTED,) * 200
    )
    told = render(crowd, "markdown")
    assert len(told) <= LIMIT
    assert "more fleets left out, since a comment holds no more" in told


def test_programs_get_the_same_fields_whatever_was_found() -> None:
    empty = replace(PLAN, fleets=(), moves=(), waivers=(), objects=Objects(), verdicts=Verdicts(), judge=JudgeChange(), impact=Impact())
    assert json.loads(render(empty, "json")).keys() == json.loads(render(PLAN, "json")).keys()
    assert json.loads(render(PLAN, "json"))["format"] == 1
