"""`python -m agent` is `ordain-agent`."""

from agent.cli import main

main()
