"""An installation whose hosts enrol and speak to it over mutual TLS, each by a process of its own, and what its operator types."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from agent.host import Host
from agent.logs import Log
from agent.processes.supervisor import supervise
from reconciler.cli import cli
from tests.e2e.installation import BIN, PATIENCE, Installation, free_port, until


class Site(Installation):
    """An installation on one address, where its hosts find it again, and its operator."""

    def __init__(self, directory: Path, *, listen: str = "", settings: str = "") -> None:
        """`settings` are those of `ordain up`, as text."""
        super().__init__(directory)
        self.listen = listen or f"127.0.0.1:{free_port()}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        """The newest agent of each host."""
        if settings:
            self.settings = directory / "settings.toml"
            self.settings.write_text(settings)

    @property
    def agents_url(self) -> str:
        """Where agents are served."""
        return f"https://{self.listen}"

    def up(self, *, fault: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Start `ordain up` and wait until agents are served too."""
        begun = self.log.stat().st_size if self.log.exists() else 0
        super().up(fault=fault, environment=environment)
        until("agents are served", lambda: b"agents at https://" in self.log.read_bytes()[begun:] or self.process_ended, log=self.log)
        assert fault or not self.process_ended, self.log.read_text()[-4000:]

    # Its operator

    def typed(self, *words: str | Path, code: int = 0) -> str:
        """Return what a command of an operator on the server's machine prints.

        It is run in this process: whoever waits asks many times, and processes for that would take the processor from what is waited for.
        """
        done = CliRunner().invoke(cli, [*map(str, words), "--state", str(self.state)], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.stdout

    def operator(self, *words: str) -> Any:
        """Return what a command answers, read as JSON."""
        return json.loads(self.typed(*words, "--format", "json"))

    def rollout(self, fleet: str = "shop/web") -> dict[str, Any]:
        """Return how a fleet's rollout stands."""
        found: dict[str, Any] = self.operator("rollout", "show", fleet)
        return found

    def happened(self, fleet: str = "shop/web") -> list[str]:
        """Return what happened to a fleet's rollouts, newest first."""
        return [one["kind"] for one in self.rollout(fleet)["events"]]

    def standing(self, agent: str) -> list[str]:
        """Return how a host, `tenant/name`, says that each of its fleets' releases stands there."""
        return [one["result"] for one in self.operator("agents", "show", agent)["standing"]]

    def metrics(self) -> str:
        """Return all counters."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def token(self, agent: str, tenant: str = "shop") -> str:
        """Return a token for one host."""
        return str(self.operator("token", "create", "--tenant", tenant, "--agent", agent, "--ttl", "1h")["token"])

    # Its hosts

    def place(self, agent: str) -> Path:
        """Return a host's own state directory."""
        return self.hosts / agent / "state"

    def agent_log(self, agent: str) -> Path:
        """Return what a host's agents said."""
        return self.hosts / f"{agent}.log"

    def on_host(self, agent: str, *words: str) -> list[str]:
        """Return the command line of a command on a host."""
        return [str(BIN / "ordain-agent"), *words, "--state", str(self.place(agent))]

    def configure(self, agent: str, text: str) -> None:
        """Write a host's `agent.toml`."""
        file = self.root(agent) / "etc/ordain/agent.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def enroll(self, agent: str, token: str, *, server: str = "") -> subprocess.CompletedProcess[str]:
        """Let a host try to join."""
        root = self.root(agent)
        root.mkdir(parents=True, exist_ok=True)
        command = self.on_host(agent, "enroll", "--server", server or self.agents_url, "--token", "-", "--root", str(root))
        return subprocess.run(command, input=token, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def start_enrolled(self, agent: str, *, fault: str = "") -> "subprocess.Popen[bytes]":
        """Start the agent of a host that joined; with a fault it dies there."""
        with self.agent_log(agent).open("ab") as log:
            command = self.on_host(agent, "run", "--poll", "2")
            process = subprocess.Popen(command, stderr=log, env={**os.environ, "ORDAIN_FAULT": fault})
        self.agents.append(process)
        self.running[agent] = process
        return process

    def stop_agent(self, agent: str) -> None:
        """End a host's agent in order."""
        self.running[agent].terminate()
        assert self.running[agent].wait(PATIENCE) == 0, self.agent_log(agent).read_text()[-4000:]

    def cut_power(self, agent: str) -> None:
        """End a host's agent as a power cut would."""
        self.running[agent].send_signal(signal.SIGKILL)
        self.running[agent].wait(PATIENCE)

    def end_processes(self, agent: str) -> None:
        """End what a host runs, once its agent is gone."""
        if self.place(agent).exists():
            supervise(self.place(agent) / "processes", host=Host(self.root(agent)), log=Log()).close(leave_running=False)

    def join(self, agent: str, *, server: str = "") -> "subprocess.Popen[bytes]":
        """Have a host enrol, and start its agent."""
        done = self.enroll(agent, self.token(agent), server=server)
        assert done.returncode == 0, done.stderr
        return self.start_enrolled(agent)

    def commits(self, agents: Iterable[str]) -> dict[str, str]:
        """Return host → the commit that it runs, of those that say that they run one."""
        there = [agent for agent in agents if (self.place(agent) / "agent.json").exists()]
        found = {agent: self.agent_status(agent)["fleets"] for agent in there}
        return {agent: fleets[0]["commit"] for agent, fleets in found.items() if fleets and fleets[0]["result"] == "applied"}

    def reaches(self, text: str, *agents: str, path: str = "/etc/motd") -> None:
        """Wait until a file has this text on these hosts."""
        for agent in agents:
            until(f"{agent} has {text!r}", partial(self._has, agent, path, text), log=self.agent_log(agent))

    def _has(self, agent: str, path: str, text: str) -> bool:
        return self.content(agent, path) == text
