"""What a state owns on a host beside paths, by name: what two fleets may not both have. Pure.

A module of the kernel may be asked for by several fleets, since loading it is all that any of them does.
"""

from agent.effects.order import PROCESS, SERVICE
from agent.protocol.state import State


def resources(state: State) -> frozenset[str]:
    """Return the names of what a state owns: `process/app`, `service/nginx.service`, `package/nginx` and so on."""
    return frozenset(
        [
            *(f"{PROCESS}{process.name}" for process in state.processes),
            *(f"{SERVICE}{service.name}" for service in state.services),
            *(f"repository/{repository.name}" for repository in state.repositories),
            *(f"package/{package.name}" for package in state.packages),
            *(f"group/{group.name}" for group in state.groups),
            *(f"user/{user.name}" for user in state.users),
            *(f"sysctl/{sysctl.name}" for sysctl in state.sysctls),
            *(f"block {file.name} of {file.path}" for file in state.host_files),
        ]
    )
