"""Compliance as JSON: all of it."""

import json
from dataclasses import asdict
from typing import Any

from reconciler.pipeline.compliance.shape import GroupRow, Report, Share
from reconciler.pipeline.finding import Verdict, as_json


def render(report: Report) -> str:
    """Return it as one JSON document."""
    document = {
        "repository": report.repository,
        "since": report.since,
        "at": report.at,
        "head": report.head,
        "commits": report.commits,
        "judge": report.judge,
        "objects": _share(report.objects),
        "agents": _share(report.agents),
        "rules": [
            {
                "id": one.id,
                "title": one.title,
                "level": one.level,
                "scope": one.scope,
                "findings": one.findings,
                "objects": _share(one.objects),
            }
            for one in report.rules
        ],
        "tenants": [_group(one) for one in report.tenants],
        "fleets": [_group(one) for one in report.fleets],
        "labels": [_group(one) for one in report.labels],
        "trend": [
            {"time": one.time, "commit": one.commit, "objects": _share(one.objects), "agents": _share(one.agents)} for one in report.trend
        ],
        "waivers": [asdict(one) for one in report.waivers],
        "signatures": report.signatures,
        "signers": [asdict(one) for one in report.signers],
        "unsigned": [asdict(one) for one in report.unsigned],
        "standing": [_verdict(one) for one in report.standing],
        "unread": [_verdict(one) for one in report.unread],
        "unjudged": [_verdict(one) for one in report.unjudged],
        "left": list(report.left),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _share(share: Share) -> dict[str, float]:
    return {**asdict(share), "total": share.total, "percent": share.percent}


def _group(one: GroupRow) -> dict[str, Any]:
    return {"name": one.name, "objects": _share(one.objects) if one.objects is not None else None, "agents": _share(one.agents)}


def _verdict(one: Verdict) -> dict[str, Any]:
    shown = as_json(one)
    return {name: shown[name] for name in ("action", "rule", "message", "file", "line", "column", "pointer", "object")}
