"""Between this agent and its server: who this host is there, what is new, what is to be told, and when to look again.

A host that is not enrolled only asks: it shows nothing, and reports nothing.
"""

import base64
import time
from importlib.metadata import version

from agent.disk import Disk
from agent.fetching.fetcher import Http
from agent.joining.clocks import date_hint
from agent.joining.identity import Enrolled, Identities
from agent.joining.renew import Renewer, is_over, tls_of, why_not
from agent.logs import Log
from agent.protocol import codec, report
from agent.protocol.errors import OrdainError, RetryError, disk_trouble
from agent.protocol.report import Receipt, SignedBatch, SignedReceipt, batch_message, receipt_message
from agent.protocol.watching import WatchAnswer
from agent.reporting.reporter import Reporter
from agent.reporting.spool import Spool
from agent.reporting.usage import UsageBook
from agent.settings import Settings
from agent.stopping import Stop
from agent.watching.sources import Asking, Source
from agent.watching.watch import Watch

LEAST_SECONDS = 0.2
"""Between two looks at what is due: what failed for a lock, say, is not tried all the time."""


class Contact:
    """Wired once; `enrolled` is None for a host that is not."""

    def __init__(self, *, settings: Settings, enrolled: Enrolled | None, http: Http, disk: Disk, stop: Stop, log: Log) -> None:
        self._stop, self._log, self._disk = stop, log, disk
        self._http = http
        self._believed = True
        """Whether the server has answered a watch since all was asked again: one that believes no certificate is not asked all the time."""
        self._why = ""
        """Why the certificate is not renewed."""
        self.over = False
        """Whether it was refused for good: once it ends, no answer of the server is worth waiting for."""
        self.source: Source = Asking(settings=settings, http=http, disk=disk, sleep=stop.wait)
        self._renewer: Renewer | None = None
        self._reporter: Reporter | None = None
        if enrolled is None:
            return
        http.use(tls_of(enrolled))
        stop.interrupts = http.interrupt
        self._renewer = Renewer(identities=Identities(directory=disk.joining), enrolled=enrolled, http=http)
        self._reporter = Reporter(
            server=settings.server,
            http=http,
            spool=Spool(disk=disk),
            version=version("ordain"),
            sign=self._signed,
            carry=self._signed_batch,
            lapsed=self._lapsed,
            usage=UsageBook(disk, settings.root).usage,
            log=log,
        )
        self.source = Watch(
            settings=settings,
            http=http,
            disk=disk,
            sleep=stop.wait,
            heard=self._heard,
            lapsed=self._lapsed,
            reported=self._reporter.reported,
        )

    def problems(self) -> list[str]:
        """Return what is wrong between this host and its server, beside that it may be away."""
        hint = date_hint(*self._http.dated) if self._http.dated else ""
        refused = self._reporter.problem if self._reporter else ""
        return [one for one in (self._why, hint, refused) if one]

    def keep_certificate(self) -> None:
        """Renew this host's certificate if that is due; what fails is said, and tried again."""
        renewer = self._renewer
        if renewer is None or renewer.seconds() > 0:
            return
        lapsed = renewer.lapsed
        try:
            enrolled = renewer.renew()
        except (OrdainError, OSError) as error:
            self._why, self.over = why_not(disk_trouble(error) if isinstance(error, OSError) else error), is_over(error)
            self._log.step("unrenewed", why=self._why)
        else:
            self._why, self.over = "", False
            if lapsed:
                self._ask_again()
            self._log.step("renewed", certificate=enrolled.fingerprint[:16], until=enrolled.ends.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def _ask_again(self) -> None:
        """Have that asked again which was refused for the certificate of before."""
        if self._reporter is not None and self._believed:
            self._believed = False
            self.source.again()
            self._reporter.again()

    def report(self) -> None:
        """Tell the server what is new, or that this host is there, if it is time for that."""
        if self._reporter is None:
            return
        try:
            self._reporter.report()
        except (OrdainError, OSError) as error:
            self._log.step("unreported", why=str(disk_trouble(error) if isinstance(error, OSError) else error))

    def wait(self, seconds: float) -> None:
        """Wait for news, for this long at most, or until the agent is to look now or to end; keep up what is due meanwhile."""
        until = time.monotonic() + seconds
        while not self._stop.wait(0) and (left := until - time.monotonic()) > 0:
            if self.source.wait(min(left, max(self._due(), LEAST_SECONDS))):
                self._stop.wait(0)
                return
            self.keep_certificate()
            self.report()

    def _due(self) -> float:
        return min(self._renewer.seconds() if self._renewer else 3600.0, self._reporter.seconds() if self._reporter else 3600.0)

    def _heard(self, answer: WatchAnswer) -> None:
        self._believed = True
        if self._reporter is not None:
            self._reporter.reached(carried=answer.carried)
            self._reporter.hear(every=answer.every, brief=answer.brief, whole=answer.report)

    def _lapsed(self) -> None:
        """Have the certificate renewed by its key at the next occasion, whatever this host's clock says."""
        if self._renewer is not None:
            self._renewer.lapse()

    def _signed(self, receipt: Receipt) -> SignedReceipt:
        enrolled = self._enrolled()
        signature = base64.b64encode(enrolled.sign(receipt_message(receipt))).decode()
        return SignedReceipt(receipt=receipt, certificate=enrolled.fingerprint, signature=signature)

    def _signed_batch(self, data: bytes) -> bytes:
        enrolled = self._enrolled()
        signature = base64.b64encode(enrolled.sign(batch_message(data))).decode()
        batch = base64.b64encode(data).decode()
        return codec.canonical(SignedBatch(format=report.FORMAT, certificate=enrolled.chain, batch=batch, signature=signature))

    def _enrolled(self) -> Enrolled:
        if self._renewer is None:  # pragma: no cover - only what reports signs
            message = "this host is not enrolled"
            raise RetryError(message)
        return self._renewer.enrolled
