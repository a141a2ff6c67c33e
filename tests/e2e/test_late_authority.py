"""`ordain serve` that is started before the ceremony of the certificate authority was held."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli.keys import keys
from tests.e2e.installation import PATIENCE, until

BIN = Path(sys.executable).parent


def typed(*words: object) -> None:
    done = CliRunner().invoke(keys, ["init", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.mark.needs("opa")
def test_serve_says_what_it_waits_for_and_listens_once_there_is_an_authority(tmp_path: Path, opa: Path) -> None:
    typed("--zone", "control", "--tenant", "shop", "--keys", tmp_path / "keys" / "control", "--out", tmp_path / "control.json")
    (tmp_path / "serve.toml").write_text(f'[store]\nurl = "{tmp_path / "store"}"\n[keys]\ndirectory = "{tmp_path / "keys"}"\n')
    log = tmp_path / "log"
    places: list[str | Path] = ["--state", tmp_path / "state", "--settings", tmp_path / "serve.toml"]
    command: list[str | Path] = [BIN / "ordain", "serve", *places, "--listen", "127.0.0.1:0", "--local", "127.0.0.1:0"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, env={**os.environ, "ORDAIN_OPA": str(opa)})
    try:
        until("it is up", lambda: b"local at http://" in log.read_bytes(), log=log)
        assert b"there is no certificate authority" in log.read_bytes()
        assert b"agents at" not in log.read_bytes()
        imports = ("--import", tmp_path / "control.json", "--store", tmp_path / "store")
        typed("--zone", "authority", "--tenant", "shop", "--keys", tmp_path / "offline", *imports)
        until("it listens", lambda: b"agents at https://" in log.read_bytes(), log=log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
