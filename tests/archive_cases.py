"""Archives as strangers make them: good ones by the standard library, bad ones header by header."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

from backports import zstd

from agent.archives.entries import Form

FORMS: tuple[Form, ...] = ("tar.gz", "tar.zst", "zip")


def member(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o644, target: str = "") -> tarfile.TarInfo:
    """Return the header of an entry."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, target
    return info


def tar(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a plain tar file of entries, with content where there is some."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for entry in entries:
            info, content = entry if isinstance(entry, tuple) else (entry, b"")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def packed(plain: bytes, form: str = "tar.gz") -> bytes:
    """Return a tar file compressed."""
    if form == "tar.gz":
        return gzip.compress(plain, compresslevel=1, mtime=0)
    return zstd.compress(plain, options={int(zstd.CompressionParameter.checksum_flag): 1})


def zipped(files: dict[str, bytes], *, programs: frozenset[str] = frozenset(), links: dict[str, str] | None = None) -> bytes:
    """Return a zip file, as a Unix program writes it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            info.external_attr = (0o40755 if name.endswith("/") else 0o100755 if name in programs else 0o100644) << 16
            archive.writestr(info, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(info, target)
    return made.getvalue()


def release(word: str, form: str) -> bytes:
    """Return an archive as programs are released: a program, its configuration below a directory, and a link."""
    program = f"#!/bin/sh\necho {word}\n".encode()
    files = {"bin/tool": program, "etc/tool.conf": word.encode(), f"etc/only-{word}": b"x"}
    if form == "zip":
        return zipped(files, programs=frozenset({"bin/tool"}), links={"tool": "bin/tool"})
    entries = [(member(f"./{name}", mode=0o6777 if name == "bin/tool" else 0o666), content) for name, content in files.items()]
    top = member("./", tarfile.DIRTYPE, mode=0o777)
    return packed(tar(top, *entries, member("tool", tarfile.SYMTYPE, target="bin/tool")), form)


def tree(root: Path) -> dict[str, str]:
    """Return all that is in a directory: path → content or target with its mode, or a directory's mode."""
    return {str(path.relative_to(root)): _described(path) for path in sorted(root.rglob("*"))}


def _described(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    mode = f"{path.stat().st_mode & 0o7777:04o}"
    return f"{mode} directory" if path.is_dir() else f"{mode} {path.read_text()}"


def checksummed(plain: bytes) -> bytes:
    """Give every block that was a header its checksum again, so that mutations get past it."""
    blocks = [plain[at : at + 512] for at in range(0, len(plain), 512)]
    return b"".join(_with_checksum(block) if block[257:262] == b"ustar" else block for block in blocks)


def _with_checksum(block: bytes) -> bytes:
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + f"{total:06o}\0 ".encode() + block[156:]
