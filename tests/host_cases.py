"""A pipeline's host in this process: a real repository, a real OPA, development keys, and a clock that the tests turn."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reconciler import settings, wiring
from reconciler.opa.program import find_opa
from reconciler.pipeline.audit import PAYLOAD_TYPE, DecisionRecord, decode_record, record_key
from reconciler.pipeline.loop import Progress, reconcile
from reconciler.pipeline.session import Parts, Session, resume
from reconciler.pipeline.signatures.pinned import read_pinned
from reconciler.pipeline.signing import decision_keys
from reconciler.pipeline.source import Mirror, mirror_path
from reconciler.publication import envelope
from reconciler.publication.store import open_store
from tests.signing_cases import NOW
from tests.source_cases import WorkingCopy


@dataclass
class Host:
    """A pipeline's host: its parts, what it holds in memory, and its clock, which begins at `NOW`."""

    copy: WorkingCopy
    parts: Parts
    session: Session
    progress: Progress
    loaded: settings.Settings
    clock: list[datetime]

    def at(self, instant: str) -> None:
        """Turn the clock, and run a round."""
        self.clock[0] = datetime.fromisoformat(instant)
        reconcile(self.parts, self.session, self.progress)

    def round(self) -> DecisionRecord:
        """Run a round; return the newest decision's record."""
        reconcile(self.parts, self.session, self.progress)
        return self.record()

    def record(self) -> DecisionRecord:
        """Return the newest decision's record, verified."""
        assert self.session.state is not None
        name = record_key(self.session.state.decision)
        data = self.parts.store.get(name)
        assert data is not None
        return decode_record(envelope.verify(data, PAYLOAD_TYPE, decision_keys(self.parts.ring), what=name))

    def restart(self) -> None:
        """Go on from the store, as after a crash."""
        self.session.close()
        self.session = resume(self.parts)


def made(directory: Path, *, pinned: str = "") -> Host:
    """Return a host whose repository has no commit yet; `pinned` are the Signer manifests that lie on the host itself."""
    copy, clock = WorkingCopy.make(directory / "fleets"), [NOW]
    loaded = settings.Settings(state=directory / "state", source=settings.SourceSettings(repository=str(copy.path)))
    loaded.state.mkdir()
    signers = directory / "signers.yaml"
    signers.write_text(pinned)
    parts = Parts(
        state=loaded.state,
        store=open_store(loaded.store_url),
        ring=loaded.ring("pipeline"),
        mirror=Mirror(mirror_path(loaded.state), str(copy.path)),
        opa=find_opa(None),
        make_keys=wiring.development(loaded),
        pinned=read_pinned(str(signers) if pinned else ""),
        now=lambda: clock[0],
    )
    return Host(copy=copy, parts=parts, session=resume(parts), progress=Progress(), loaded=loaded, clock=clock)
