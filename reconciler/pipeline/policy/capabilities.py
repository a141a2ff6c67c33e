"""What a rule may call: whatever gives one answer for one input, for ever, so a decision can be replayed.

`python -m reconciler.pipeline.policy.capabilities > policies/capabilities.json` makes the file that `opa check` gets.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from reconciler.opa.program import find_opa

REMOVED = {
    "http.send": "network",
    "net.lookup_ip_addr": "network",
    "json.match_schema": "network: a schema may refer to an address",
    "json.verify_schema": "network: a schema may refer to an address",
    "opa.runtime": "environment",
    "time.now_ns": "clock: rules read input.change.now",
    "io.jwt.decode_verify": "clock, where no time is given",
    "crypto.x509.parse_and_verify_certificates": "clock",
    "crypto.x509.parse_and_verify_certificates_with_options": "clock, where no time is given",
    "rand.intn": "randomness",
    "uuid.rfc4122": "randomness",
    "io.jwt.encode_sign": "randomness",
    "io.jwt.encode_sign_raw": "randomness",
}
"""Built-in → what it reads beside its arguments. The pure ones of `net` (`net.cidr_contains`, say) stay."""
FEATURES = ("keywords_in_refs", "rego_v1", "template_strings")


def restricted(current: dict[str, Any]) -> dict[str, Any]:
    """Return the capabilities of an OPA (`opa capabilities --current`) without what rules may not call."""
    builtins = [_plain(each) for each in current["builtins"] if each["name"] not in REMOVED]
    features = [feature for feature in current.get("features", ()) if feature in FEATURES]
    return {"allow_net": [], "builtins": builtins, "features": features, "future_keywords": current["future_keywords"]}


def encoded(capabilities: dict[str, Any]) -> str:
    """Return capabilities as the file holds them: a built-in a line, so that a new version's can be read in a diff."""
    builtins = ",\n".join(json.dumps(each, sort_keys=True) for each in capabilities["builtins"])
    rest = {key: value for key, value in capabilities.items() if key != "builtins"}
    return f'{{"builtins": [\n{builtins}\n],\n{json.dumps(rest, sort_keys=True)[1:]}\n'


def current(opa: Path) -> dict[str, Any]:
    """Return what an OPA can do."""
    answer = subprocess.run([str(opa), "capabilities", "--current"], capture_output=True, timeout=10, check=True)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def _plain(value: Any) -> Any:
    """Return a declaration without its prose."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in ("description", "categories")}
    return [_plain(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.stdout.write(encoded(restricted(current(find_opa()))))
