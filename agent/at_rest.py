"""The agent as it runs for months: without the command line's libraries, which take a megabyte and are needed once.

`ordain-agent run` reads its options, and then becomes this in the same process.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from agent.lean import leave_out


def become(*, state: Path, form: str, poll: float, root: Path | None, config: Path | None, **told: Any) -> NoReturn:
    """Go on as an agent with these options of `ordain-agent run`."""
    places = {"state": state, "root": root, "config": config, **told}
    given = {"form": form, "poll": poll} | {name: None if value is None else str(value) for name, value in places.items()}
    path = "-I" if sys.flags.isolated else "-P"  # never what lies in the current directory
    os.execv(sys.executable, [sys.executable, path, "-m", "agent.at_rest", json.dumps(given)])  # noqa: S606 - no shell, our own words


def main() -> None:
    """Run as told; the options were understood before, so what is wrong now was not wrong a moment ago."""
    leave_out()
    from agent.logs import Log  # noqa: PLC0415 - after what they would import is left out
    from agent.loop import Agent  # noqa: PLC0415
    from agent.operations.starting import settings_for  # noqa: PLC0415
    from agent.protocol.errors import OrdainError  # noqa: PLC0415
    from agent.stopping import Stop  # noqa: PLC0415

    given: dict[str, Any] = json.loads(sys.argv[1])
    form, state = given.pop("form"), Path(given.pop("state"))
    places: dict[str, Any] = {name: Path(place) if (place := given.pop(name)) is not None else None for name in ("root", "config")}
    try:
        settings, enrolled = settings_for(state, **places, **given)
        code = Agent(settings, Log(form), Stop(), enrolled).run(once=False)
    except (OrdainError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        code = error.exit_code if isinstance(error, OrdainError) else 3
    sys.exit(code)


if __name__ == "__main__":
    main()
