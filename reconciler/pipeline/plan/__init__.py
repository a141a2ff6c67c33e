"""What a change would do, before it is merged: to hosts, to verdicts, to the judge, and when.

    cli/judging (a decision, with its judges still open)
        ─▶ sides       every fleet that the change reaches, compiled before and after
        ─▶ states      what differs on a host: files as unified diffs, all else by field
        ─▶ fleets      who is hit, who joins, who leaves, in which wave, and when at the earliest
        ─▶ verdicts    new, gone and unchanged; and what the base's judge and the head's say apart
        ─▶ shape.Plan  the whole of it as plain values

Everything here is a function of its arguments: no git, no network, no clock. `shape` is the contract with those who show a plan.
"""
