"""Mutants of rules that no test can tell from the rule, each with the reason."""

_NO_OTHER = "no other list of a spec has what is asked of its items, so looking at all of them finds the same"
_STRICT = "only seen where errors of built-ins are strict, as they are when rules judge: then every manifest with a number fails"
_SOONER = "what is called next says the same, only later"
_UNREAD = "without strict errors of built-ins, an address that can't be decoded stays as it is"
_NO_ESCAPE = "not regex.match(`%(?:$|[^0-9A-Fa-f]|[0-9A-Fa-f](?:$|[^0-9A-Fa-f]))`, url)"
_BOTH = 'some section in ["files", "artifacts"]'
_ALL = 'some section in ["files", "artifacts", "hostFiles"]'

EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("host-safety/login-scripts", "left out", _ALL): _NO_OTHER,
    ("host-safety/protected-paths", "left out", _BOTH): _NO_OTHER,
    ("host-safety/set-uid", "left out", _BOTH): _NO_OTHER,
    ("host-safety/ssh-keys", "left out", _ALL): _NO_OTHER,
    ("host-safety/world-writable", "left out", _BOTH): _NO_OTHER,
    ("release/paths-lost", "left out", _BOTH): _NO_OTHER,
    ("secrets/named-values", "left out", 'some section in ["includes", "components"]'): _NO_OTHER,
    ("secrets/named-values", "left out", 'some section in ["variants", "modes"]'): _NO_OTHER,
    ("secrets/named-values", "left out", 'some section in ["processes", "containers"]'): _NO_OTHER,
    ("supply-chain/remote-scripts", "left out", 'some section in ["processes", "containers", "probes"]'): _NO_OTHER,
    ("supply-chain/remote-scripts", "left out", 'some section in ["files", "hostFiles"]'): _NO_OTHER,
    ("tenancy/library-use", "left out", 'some section in ["includes", "components"]'): _NO_OTHER,
    ("reliability/health-threshold", "left out", 'some field in ["successThreshold", "quorum"]'): "the rule has no other parameters",
    ("lib/lines", "left out", r"contains(text, `\`)"): _SOONER,
    ("host-safety/sysctl", "left out", r"regex.match(`[*?\[$]`, name)"): _SOONER,
    ("host-safety/sysctl", "left out", "suspicious(name)"): _SOONER,
    ("host-safety/sysctl", "left out", "strings.any_suffix_match(name, last_parts)"): _SOONER,
    ("lib/secrets", "left out", "is_string(text)"): _STRICT,
    ("lib/secrets", "left out", "count(all) > 0"): _SOONER,
    ("lib/secrets", "compared otherwise", "count(all) > 0"): _SOONER,
    ("secrets/cloud-key", "left out", "secrets.suspicious(kind.words)"): _SOONER,
    ("secrets/password-in-address", "left out", 'contains(secrets.whole, "@")'): _SOONER,
    ("secrets/password-in-address", "left out", "secrets.suspicious(words_in_queries)"): _SOONER,
    ("supply-chain/pinned-versions", "left out", _NO_ESCAPE): _UNREAD,
    ("supply-chain/remote-scripts", "left out", "fetches(file)"): _SOONER,
    ("supply-chain/remote-scripts", "left out", "not names == set()"): _SOONER,
    ("supply-chain/remote-scripts", "left out", 'name != ""'): _SOONER,
    ("supply-chain/remote-scripts", "left out", 'regex.match(fetched, lines.bare(object.get(file, "content", "")))'): _SOONER,
    ("supply-chain/remote-scripts", "left out", "regex.match(fetched, lines.bare(input.sources[file.source]))"): _SOONER,
    ("supply-chain/remote-scripts", "left out", "regex.match(fetched, text)"): _SOONER,
    ("secrets/token", "left out", "secrets.suspicious(kind.words)"): _SOONER,
}
"""(rule, what was done, the text it was done to) → why it makes no difference."""
