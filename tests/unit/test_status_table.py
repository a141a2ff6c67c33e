"""What `ordain-agent status` prints of what runs."""

from agent.reporting.running import Running, table

RUNS = Running(
    kind="process", name="app", fleet="web", standing="running", pid=7, since="2026-11-23T05:38:55Z", cpu_seconds=0.4, rss_bytes=1024**2
)
LOOPS = Running(kind="process", name="worker", fleet="web", standing="looping", restarts=4, why="ended with exit code 3:\n\x1b[31m")


def test_what_runs_is_a_table_with_a_reason_for_what_does_not() -> None:
    assert table([RUNS, LOOPS]) == [
        "RESOURCE        FLEET  STANDS   PID  SINCE                 RESTARTS  CPU   MEMORY  WHY",
        "process/app     web    running  7    2026-11-23T05:38:55Z  0         0.4s  1.0Mi",
        "process/worker  web    looping  -    -                     4         -     -       ended with exit code 3:\\n\\u001b[31m",
    ]


def test_without_a_reason_there_is_no_column_for_it() -> None:
    assert [line.rpartition("  ")[2] for line in table([RUNS])] == ["MEMORY", "1.0Mi"]
    assert table([]) == []
