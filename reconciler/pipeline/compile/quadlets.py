"""What a container is in a state: a Quadlet file, of which Podman's generator makes a unit, and that unit.

https://docs.podman.io/en/latest/markdown/podman-systemd.unit.5.html. What is filled in can't end a line or a word here, nor
mean more than itself to systemd: `%` and `$` are doubled, everything else that means something is escaped.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.protocol import rendering
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.finding import Pointer
from reconciler.pipeline.manifests import Document

DIRECTORY = "/etc/containers/systemd"
"""Where Podman's generator looks for the containers of the host's owner."""
RESTARTS = {"always": "always", "on-failure": "on-failure", "never": "no"}
"""Our words for when it is started again, and systemd's."""
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "%": "%%", "$": "$$"}


def container_parts(ref: str, document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the Quadlet file of a container, then the unit that is made of it: it runs, and is restarted when the file changes."""
    name = manifest.text(item.get("name"))
    path = f"{DIRECTORY}/{name}.container"
    yield Part(
        field="files",
        ref=ref,
        document=document,
        pointer=pointer,
        item={**item, "path": path},
        places={"path": (*pointer, "name"), "content": pointer},
        render=lambda resolved: {"path": path, "content": quadlet(resolved)},
    )
    stated = [one for one in manifest.sequence(item.get("restartOn")) if one != path]
    unit = {"name": f"{name}.service", "state": "running", "restartOn": [*stated, path], "unitFiles": [path]}
    after = {"after": item["after"]} if "after" in item else {}
    places = {"unitFiles": pointer, "state": pointer}
    yield Part(field="services", ref=ref, document=document, pointer=pointer, item={**unit, **after}, places=places, texts_at=())


def quadlet(item: Mapping[str, Any]) -> str:
    """Return the text of the Quadlet file of a container whose texts are filled in."""
    name = manifest.text(item.get("name"))
    parts = {
        "Unit": [f"Description=Container {name}, held by ordain"],
        "Container": list(_container(item)),
        "Service": list(_service(item)),
        "Install": ["WantedBy=multi-user.target"],
    }
    return "\n".join(f"[{title}]\n" + "".join(f"{line}\n" for line in lines) for title, lines in parts.items())


def _container(item: Mapping[str, Any]) -> Iterator[str]:
    yield f"ContainerName={manifest.text(item.get('name'))}"
    yield f"Image={manifest.text(item.get('image'))}"
    yield f"Pull={manifest.text(item.get('pull'), 'missing')}"
    for variable, value in sorted(manifest.texts(item.get("environment")).items()):
        yield f"Environment={_quoted(f'{variable}={value}')}"
    for port in manifest.sequence(item.get("ports")):
        yield f"PublishPort={_port(manifest.mapping(port))}"
    for volume in manifest.sequence(item.get("volumes")):
        yield f"Volume={_volume(manifest.mapping(volume))}"
    user, _, group = manifest.text(item.get("user")).partition(":")
    yield from (f"{key}={value}" for key, value in (("User", user), ("Group", group), ("Network", item.get("network"))) if value)
    flags = (("ReadOnly", "readOnly"), ("NoNewPrivileges", "noNewPrivileges"))
    yield from (f"{key}=true" for key, field in flags if item.get(field) is True)
    yield from _limits(manifest.mapping(item.get("limits")))
    command = [argument for argument in manifest.sequence(item.get("command")) if isinstance(argument, str)]
    if command:
        yield f"Exec={' '.join(_quoted(argument) for argument in command)}"


def _limits(limits: Mapping[str, Any]) -> Iterator[str]:
    if "processes" in limits:
        yield f"PidsLimit={limits['processes']}"
    if "openFiles" in limits:
        yield f"Ulimit=nofile={limits['openFiles']}:{limits['openFiles']}"
    if "memory" in limits:
        yield f"PodmanArgs=--memory={_bytes(manifest.text(limits['memory']))}"
    if "cpu" in limits:
        yield f"PodmanArgs=--cpus={_cores(manifest.text(limits['cpu']))}"


def _service(item: Mapping[str, Any]) -> Iterator[str]:
    yield f"Restart={RESTARTS.get(manifest.text(item.get('restart'), 'always'), 'always')}"
    yield "TimeoutStartSec=900"  # its image is fetched in that time, and the default of 90 s is too short for most


def _port(port: Mapping[str, Any]) -> str:
    address = manifest.text(port.get("address"))
    host = f"[{address}]:" if ":" in address else f"{address}:" if address else ""
    protocol = "/udp" if port.get("protocol") == "udp" else ""
    return f"{host}{port.get('host')}:{port.get('container')}{protocol}"


def _volume(volume: Mapping[str, Any]) -> str:
    source, path = (manifest.text(volume.get(name)) for name in ("source", "path"))
    return f"{source}:{path}:ro" if volume.get("readOnly") is True else f"{source}:{path}"


def _bytes(quantity: str) -> str:
    """Return an amount of memory as Podman writes it, whose units are powers of 1,024 too."""
    number = quantity.rstrip("KMGTi")
    unit = quantity[len(number) :].removesuffix("i").lower()
    return str(int(number) * 1024) + "g" if unit == "t" and number.isdigit() else f"{number}{unit or 'b'}"


def _cores(percentage: str) -> str:
    digits = percentage.removesuffix("%").rjust(3, "0")
    return f"{digits[:-2]}.{digits[-2:]}"


def _quoted(text: str) -> str:
    """Return one word of a line, in quotes: what is left for the agent to fill in stays as it is."""
    made = ['"']
    end = 0
    for match in rendering.REFERENCE.finditer(text):
        made.append(_plain(text[end : match.start()]))
        made.append("$" + match[0] if match["escape"] else match[0])
        end = match.end()
    return "".join([*made, _plain(text[end:]), '"'])


def _plain(text: str) -> str:
    return "".join(_ESCAPED.get(character) or (character if character.isprintable() else _byte_escapes(character)) for character in text)


def _byte_escapes(character: str) -> str:
    """Return what systemd reads as one character: its bytes in octal."""
    return "".join(f"\\{byte:03o}" for byte in character.encode())
