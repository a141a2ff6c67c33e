"""`python -m agent` is `ordain-agent`, in a process of its own."""

from agent.lean import leave_out


def main() -> None:
    """Run the command line, without what an agent never uses."""
    leave_out()
    from agent.cli import main as run  # noqa: PLC0415 - after what it would import is left out

    run()


if __name__ == "__main__":
    main()
