"""Rules of the repository's own, as they lie in `rules/`: written, broken, mended and tightened."""

from pathlib import Path

RULES = Path(__file__).parent / "rules"
TIGHTENED = """
deny contains result.at(rego.metadata.chain(), ["metadata", "labels", "region"], message) if {
	region := input.object.metadata.labels.region
	not region in input.parameters.regions
	message := sprintf("there is no region %s; it is one of %s", [region, concat(", ", input.parameters.regions)])
}
"""
_REGION = "policies/hosts/region/region.rego"


def tmp() -> dict[str, str | bytes | None]:
    """Return the rule about /tmp, with tests, examples and page."""
    return _there("files/not-in-tmp")


def region() -> dict[str, str | bytes | None]:
    """Return the rule about regions as it began."""
    return _there("hosts/region")


def broken() -> dict[str, str | bytes | None]:
    """Return the rule about regions when it read a field that no agent has."""
    files = region()
    return {**files, _REGION: str(files[_REGION]).replace("metadata.labels.region", "metadata.label.region")}


def tightened() -> dict[str, str | bytes | None]:
    """Return the rule about regions that knows their names; its tests do not look at that yet."""
    return {_REGION: str(region()[_REGION]) + TIGHTENED}


def _there(directory: str) -> dict[str, str | bytes | None]:
    files = sorted(path for path in (RULES / directory).rglob("*") if path.is_file())
    return {f"policies/{path.relative_to(RULES)}": path.read_text() for path in files}
