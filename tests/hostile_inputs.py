"""Inputs that mean harm, as a table: what is done to a fleet repository or an archive, and the finding or refusal that answers.

Each is small to write down and large to read. They are run by `tests.hostile_runs`, one process each, and measured.
"""

import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import dedent

from backports import zstd

from agent.archives.entries import Form
from tests.archive_cases import member, packed, tar, zipped
from tests.compile_cases import FILES

SECONDS, MEGABYTES = 1.0, 200
"""What each may cost more than an honest input of its sort: processor time, and memory at its peak."""
HOSTILE = "tenants/shop/hostile.yaml"
COMPONENT = "apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {name: hostile, tenant: shop}\nspec:\n"
FLEET = "apiVersion: ordain.dev/v1\nkind: Fleet\nmetadata: {name: hostile, tenant: shop}\nspec:\n"
MIB = 1024 * 1024
FULL = MIB - 200
"""Bytes that leave room for a head in the largest file that is read."""
Change = Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A change to an honest fleet repository, and the code of a finding that it must bring; "" where it does no harm."""

    change: Change
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive, and words of its refusal."""

    make: Callable[[], bytes]
    form: Form
    says: str
    limit: int = 64 * MIB
    """The `unpackedSize` that the release states."""


def honest(root: Path) -> None:
    """Write the repository that all changes begin with."""
    for path, text in FILES.items():
        _put(path, dedent(text))(root)


def _put(path: str, content: str | bytes) -> Change:
    def change(root: Path) -> None:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))

    return change


def _text(content: Callable[[], str | bytes], code: str) -> Repository:
    """Return a case of one hostile file, made when it is wanted."""

    def change(root: Path) -> None:
        _put(HOSTILE, content())(root)

    return Repository(change=change, code=code)


def _filled(piece: str, size: int = FULL) -> str:
    return piece * (size // len(piece))


def _link(target: str) -> Change:
    def change(root: Path) -> None:
        (root / "tenants/shop/link.yaml").symlink_to(target)

    return change


def _names(*names: str) -> Change:
    def change(root: Path) -> None:
        for name in names:
            _put(f"tenants/shop/{name}", "# nothing\n")(root)

    return change


def _raw_name(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/tenants/shop/\xff.yaml")).write_bytes(b"# nothing\n")


def _many_files(root: Path) -> None:
    directory = root / "tenants/shop/many"
    directory.mkdir()
    for number in range(2_000):
        (directory / f"{number}.yaml").write_bytes(b"[]\n")


def _deep_directories(root: Path) -> None:
    (root / "tenants/shop" / "/".join(["d" * 200] * 15)).mkdir(parents=True)
    _put("tenants/shop/" + "/".join(["d" * 200] * 15) + "/x.yaml", "[]\n")(root)


def _bomb(levels: int = 9) -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels + 1))]
    return "\n".join(rows)


def _spec(text: str) -> str:
    return COMPONENT + text


def _windows(window: str) -> str:
    return FLEET + f"  selector: {{matchLabels: {{}}}}\n  components: [{{name: collector}}]\n  rollout: {{windows: [{{{window}}}]}}\n"


def _pool(lease: str) -> str:
    return f"apiVersion: ordain.dev/v1\nkind: AgentPool\nmetadata: {{name: p, tenant: shop}}\nspec: {{maximum: 1, lease: {lease}}}\n"


def _using(component: str) -> str:
    return FLEET + f"  selector: {{matchLabels: {{role: web}}}}\n  components: [{{name: {component}}}]\n"


def _including(name: str, *included: str) -> str:
    includes = ", ".join(f"{{name: {one}}}" for one in included)
    return COMPONENT.replace("hostile", name) + f"  includes: [{includes}]\n"


YAML: Mapping[str, Repository] = {
    "billion laughs": _text(_bomb, "yaml/nodes"),
    "a chain of 9,000 anchors": _text(lambda: "a:\n- &a0 1\n" + "".join(f"- &a{n} [*a{n - 1}]\n" for n in range(1, 4_000)), "yaml/nodes"),
    "100,000 anchors": _text(lambda: "a:\n" + _filled("- &x 1\n"), "yaml/unusual"),
    "100,000 aliases": _text(lambda: "a: &x 1\nb:\n" + _filled("- *x\n"), "yaml/unusual"),
    "a million levels of brackets": _text(lambda: "a: " + "[" * FULL, "yaml/depth"),
    "a million levels of dashes": _text(lambda: _filled("- "), "yaml/depth"),
    "a thousand levels of indentation": _text(lambda: "".join(" " * n + "a:\n" for n in range(1_400)), "yaml/depth"),
    "a million levels of keys": _text(lambda: _filled("? "), "yaml/depth"),
    "a scalar of 10 MB": _text(lambda: "a: " + "x" * 10_000_000, "manifest/size"),
    "a scalar of 1 MiB": _text(lambda: _spec("  description: " + "x" * FULL), "schema/limit"),
    "an honest text of 1 MiB": _text(
        lambda: _spec(
            "  files:\n  - path: /etc/nginx/a.conf\n    content: |\n" + _filled("      server https://10.0.0.1:8080/a; # me@example.com\n")
        ),
        "",
    ),
    "a script of 1 MiB that fetches in every line": _text(
        lambda: _spec("  files:\n  - path: /etc/cron.d/a\n    content: |\n" + _filled("      curl http://u:p@10.0.0.1/api >/tmp/x # a\n")),
        "secrets/password-in-address",
    ),
    "half a million values": _text(lambda: "a: [" + _filled("1,") + "]", "yaml/nodes"),
    "100,000 keys": _text(lambda: "".join(f"k{n}: 1\n" for n in range(99_000)), "yaml/nodes"),
    "40,000 fields that nobody knows": _text(lambda: _spec("".join(f"  k{n}: 1\n" for n in range(40_000))), "schema/unknown-field"),
    "40,000 items that are wrong": _text(lambda: _spec("  files:\n" + "  - 1\n" * 40_000), "schema/limit"),
    "10,000 files of a component": _text(
        lambda: _spec("  files:\n" + "".join(f"  - {{path: /etc/a{n}, content: x}}\n" for n in range(10_000))), "schema/limit"
    ),
    "a million documents": _text(lambda: _filled("---\n"), "yaml/documents"),
    "a number of a million digits": _text(lambda: "a: " + "9" * FULL, "yaml/number"),
    "a version of a million digits": _text(lambda: "%YAML " + "1" * FULL + ".1\n---\na: 1\n", "yaml/unusual"),
    "an exponent of a million digits": _text(lambda: "a: 1e" + "9" * FULL, "yaml/number"),
    "one line of comments": _text(lambda: "a: 'x" + _filled("|#") + "'\nb: 1\n", "schema/required"),
    "numbers that begin everywhere": _text(lambda: "b_c: 1\na: " + _filled("-1") + "\n", "schema/required"),
    "a tag of 1 MiB": _text(lambda: "a: !<" + "x" * FULL + ">", "yaml/unusual"),
    "tags that make objects": _text(lambda: "a: !!python/object/apply:os.system [id]\n", "yaml/tag"),
    "a tag of one's own": _text(lambda: _spec("  description: !secret x\n"), "yaml/tag"),
    "merge keys": _text(lambda: "a: &a {x: 1}\nb: {<<: *a}\n", "yaml/merge-key"),
    "the same key at depth": _text(lambda: _spec("  files: [{path: /a, path: /b, content: x}]\n"), "yaml/duplicate-key"),
    "half of a surrogate pair": _text(lambda: 'a: "\\ud800"\n', "yaml/surrogate"),
    "a surrogate's bytes": _text(lambda: b"a: \xed\xa0\x80\n", "yaml/not-utf-8"),
    "an escape of no character": _text(lambda: 'a: "\\UFFFFFFFF"\n', "yaml/syntax"),
    "NUL": _text(lambda: "a: x\0y\n", "yaml/character"),
    "a byte order mark": _text(lambda: "\ufeffa: 1\n", "yaml/byte-order-mark"),
    "UTF-16": _text(lambda: "a: 1\n".encode("utf-16"), "yaml/not-utf-8"),
    "line ends of Windows": _text(lambda: _spec("  description: x\n").replace("\n", "\r\n"), ""),
    "line ends of old Macs, 1 MiB": _text(lambda: _filled("a\r"), "yaml/unusual"),
    "a quote that is never closed": _text(lambda: 'a: "' + _filled("x\n "), "yaml/syntax"),
    "1 MiB of tabs": _text(lambda: "a:" + "\t" * FULL, "yaml/unusual"),
    "random bytes": _text(lambda: os.urandom(MIB), "yaml/not-utf-8"),
}
"""Texts that are hard to read."""

MANIFESTS: Mapping[str, Repository] = {
    "a path that climbs": _text(lambda: _spec("  files: [{path: /etc/../../x, content: x}]\n"), "schema/pattern"),
    "a source that climbs": _text(lambda: _spec("  files: [{path: /etc/x, source: ../../../../etc/shadow}]\n"), "schema/pattern"),
    "a label of 1 MiB": _text(
        lambda: f"apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {{name: a, tenant: shop, labels: {{x: {'y' * FULL}}}}}\nspec: {{}}\n",
        "schema/limit",
    ),
    "10,000 labels": _text(
        lambda: (
            "apiVersion: ordain.dev/v1\nkind: Agent\nmetadata:\n  name: a\n  tenant: shop\n  labels:\n"
            + "".join(f"    l{n}: x\n" for n in range(10_000))
            + "spec: {}\n"
        ),
        "schema/limit",
    ),
    "a selector of 10,000 labels": _text(
        lambda: (
            FLEET
            + "  components: [{name: collector}]\n  selector:\n    matchLabels:\n"
            + "".join(f"      l{n}: x\n" for n in range(10_000))
        ),
        "schema/limit",
    ),
    "a name that looks like another": _text(lambda: COMPONENT.replace("hostile", "c\u043ellector") + "  {}\n", "schema/pattern"),
    "a name that turns the writing": _text(lambda: COMPONENT.replace("hostile", '"a\\u202eb"') + "  {}\n", "schema/pattern"),
    "near misses without end": _text(
        lambda: _spec('  files: [{path: /etc/a, content: "' + _filled("${label.x} ") + '"}]\n'), "manifest/near-miss"
    ),
    "a cron of nearly 1 MiB": _text(lambda: _windows(f"cron: '{_filled('0,', FULL - 200)}0 * * * *', duration: 1h"), "schema/limit"),
    "a time zone that climbs": _text(lambda: _windows("cron: '0 8 * * *', duration: 1h, timeZone: ../../etc/passwd"), "schema/time-zone"),
    "a duration of a million digits": _text(lambda: _pool("9" * FULL + "d"), "yaml/unusual"),
    "a duration of 100,000 digits": _text(lambda: _pool("9" * 100_000 + "d"), "schema/pattern"),
    "components that include each other": Repository(
        change=_put(
            "tenants/shop/loop.yaml",
            "---\n".join([_using("l0"), *(_including(f"l{n}", f"l{(n + 1) % 30}") for n in range(30))]),
        ),
        code="manifest/include-cycle",
    ),
    "components that include each other without end": Repository(
        change=_put(
            "tenants/shop/loop.yaml",
            "---\n".join([_using("l0"), *(_including(f"l{n}", f"l{(n + 1) % 90}") for n in range(90))]),
        ),
        code="manifest/include-depth",
    ),
    "components that double at each level": Repository(
        change=_put(
            "tenants/shop/tree.yaml",
            "---\n".join(
                [_using("a0"), *(_including(f"{side}{n}", f"a{n + 1}", f"b{n + 1}") for n in range(30) for side in "ab")],
            ),
        ),
        code="manifest/missing-component",
    ),
}
"""Manifests that are read, and say what no manifest may."""

TREES: Mapping[str, Repository] = {
    "an absolute symlink": Repository(change=_link("/etc/passwd"), code="manifest/symlink"),
    "a symlink that climbs": Repository(change=_link("../../../../etc/passwd"), code="manifest/symlink"),
    "a symlink to itself": Repository(change=_link("link.yaml"), code="manifest/symlink"),
    "names that differ in case": Repository(change=_names("Web.yaml", "web.yaml"), code="manifest/case-clash"),
    "names that fold alike": Repository(change=_names("stra\u00dfe.yaml", "strasse.yaml"), code="manifest/case-clash"),
    "names of two spellings": Repository(change=_names("\u00e9.yaml", "e\u0301.yaml"), code="manifest/case-clash"),
    "a name that turns the writing direction": Repository(change=_names("a\u202elmay.yaml"), code="manifest/path"),
    "a name with a line end": Repository(change=_names("a\nb.yaml"), code="manifest/path"),
    "a name that is no UTF-8": Repository(change=_raw_name, code="manifest/path"),
    "a path of 3,000 bytes": Repository(change=_deep_directories, code="yaml/not-a-mapping"),
    "2,000 files that are wrong": Repository(change=_many_files, code="yaml/not-a-mapping"),
    "a file of 200 MB": Repository(change=lambda root: os.truncate(_touched(root / HOSTILE), 200 * MIB), code="manifest/size"),
    "a pipe among manifests": Repository(change=lambda root: os.mkfifo(root / HOSTILE), code=""),
    "a directory that is named as a manifest": Repository(change=lambda root: (root / HOSTILE).mkdir(), code=""),
}
"""What lies in a repository besides manifests."""


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _zeros() -> bytes:
    return tar((member("a"), bytes(256 * MIB)))


def _linked(kind: bytes, target: str) -> bytes:
    return packed(tar(member("a", kind, target=target)))


def _million_entries() -> bytes:
    header = tar(member("x"))[:512]
    blocks = bytearray()
    for number in range(150_000):
        name = f"{number}".encode()
        block = bytearray(header)
        block[:100] = name.ljust(100, b"\0")
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        blocks += block
    return packed(bytes(blocks) + bytes(1024))


def _directories(depth: int, count: int) -> bytes:
    return packed(tar(*(member(f"{n}/" + "d/" * depth, tarfile.DIRTYPE) for n in range(count))))


def _links(count: int) -> bytes:
    return packed(tar(*(member(f"l{n}", tarfile.SYMTYPE, target=f"l{n + 1}/..") for n in range(count))))


def _headers() -> bytes:
    """Return extended headers of 16 KiB each, without end."""
    info = member("x")
    info.pax_headers = {"comment": "x" * 15_000}
    return packed(tar(info)[: 512 + 15_360] * 8_000)


def _window() -> bytes:
    level = {int(zstd.CompressionParameter.window_log): 30, int(zstd.CompressionParameter.enable_long_distance_matching): 1}
    compressor = zstd.ZstdCompressor(options=level)
    return compressor.compress(tar((member("a"), b"x" * 10_000))) + compressor.flush()


def _overlapping() -> bytes:
    """Return a zip whose entries all have the same content, as https://www.bamsoftware.com/hacks/zipbomb/ does."""
    data = zipped({f"{n:05}": bytes(MIB) if n == 0 else b"" for n in range(500)})
    first = data.index(b"PK\1\2")
    central, place = bytearray(data), first
    while data[place : place + 4] == b"PK\1\2":
        name, extra, comment = struct.unpack_from("<HHH", data, place + 28)
        central[place + 16 : place + 28] = data[first + 16 : first + 28]
        central[place + 42 : place + 46] = bytes(4)
        place += 46 + name + extra + comment
    return bytes(central)


def _nested() -> bytes:
    inner = zipped({"zeros": bytes(16 * MIB)})
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(16):
            archive.writestr(f"{number}.zip", inner)
    return made.getvalue()


ARCHIVES: Mapping[str, Archive] = {
    "a bomb of zeros": Archive(make=lambda: packed(_zeros()), form="tar.gz", says="unpackedSize"),
    "a bomb of zeros by zstd": Archive(
        make=lambda: packed(tar((member("a"), bytes(256 * MIB))), "tar.zst"), form="tar.zst", says="unpackedSize"
    ),
    "a zip bomb": Archive(make=lambda: zipped({"a": bytes(256 * MIB)}), form="zip", says="unpackedSize"),
    "a zip bomb of overlapping entries": Archive(make=_overlapping, form="zip", says="another name there|overlap"),
    "zips within a zip": Archive(make=_nested, form="zip", says=""),
    "150,000 entries": Archive(make=_million_entries, form="tar.gz", says="entries"),
    "directories that imply 150,000": Archive(make=lambda: _directories(40, 4_000), form="tar.gz", says="entries"),
    "a chain of 30,000 links": Archive(make=lambda: _links(30_000), form="tar.gz", says="too many others|leads out"),
    "120 MB of extended headers": Archive(make=_headers, form="tar.gz", says="extended header"),
    "a window of 1 GiB": Archive(make=_window, form="tar.zst", says="damaged"),
    "an absolute name": Archive(make=lambda: packed(tar((member("/etc/passwd"), b"x"))), form="tar.gz", says="absolute"),
    "a name that climbs": Archive(make=lambda: zipped({"../x": b"x"}), form="zip", says="absolute or not normal"),
    "a link that climbs": Archive(make=lambda: _linked(tarfile.SYMTYPE, "../../etc"), form="tar.gz", says="leads out"),
    "a hard link to the outside": Archive(make=lambda: _linked(tarfile.LNKTYPE, "/etc/shadow"), form="tar.gz", says="absolute"),
    "a device": Archive(make=lambda: packed(tar(member("a", tarfile.CHRTYPE))), form="tar.gz", says="a device"),
    "a pipe in an archive": Archive(make=lambda: packed(tar(member("a", tarfile.FIFOTYPE))), form="tar.gz", says="a pipe"),
    "a sparse file": Archive(make=lambda: packed(tar(member("a", tarfile.GNUTYPE_SPARSE))), form="tar.gz", says="a sparse file"),
    "a name of 4 KB": Archive(make=lambda: packed(tar((member(("d" * 200 + "/") * 20 + "x"), b"x"))), form="tar.gz", says="longer than"),
    "names that differ in case": Archive(make=lambda: zipped({"A": b"", "a": b""}), form="zip", says="case does not count"),
    "a name with a line end": Archive(make=lambda: packed(tar((member("a\nb"), b"x"))), form="tar.gz", says="control characters"),
    "random bytes": Archive(make=lambda: os.urandom(MIB), form="tar.zst", says="damaged"),
}
"""Archives as strangers make them."""
REPOSITORIES: Mapping[str, Repository] = {**YAML, **MANIFESTS, **TREES}
