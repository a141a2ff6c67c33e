"""Which files of a change become the accepted state, which fleets stand still, and why.

All of it is a pure function of (accepted state, head, judges, facts of the change): no git, no clock, no store.
The unit is the file. A refused one keeps its accepted version and holds up the fleets that depend on it, and no others.
"""

from reconciler.pipeline.acceptance.corpus import EMPTY_CORPUS as EMPTY_CORPUS
from reconciler.pipeline.acceptance.corpus import Corpus as Corpus
from reconciler.pipeline.acceptance.decision import Decision as Decision
from reconciler.pipeline.acceptance.decision import Judges as Judges
from reconciler.pipeline.acceptance.decision import decide as decide
