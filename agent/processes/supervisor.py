"""The supervisor: who keeps processes running on a host without systemd.

Under construction: see `agent.processes.interface.Processes`, whose methods it has.
    Supervisor(directory: Path, *, host: Host, log: Log)  # directory: `Disk.processes`
"""
