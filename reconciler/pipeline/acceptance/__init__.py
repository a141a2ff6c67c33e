"""Which files of a change become the accepted state, which fleets stand still, and why.

All of it is a pure function of (accepted state, head, judges, facts of the change): no git, no clock, no store.
The unit is the file. A refused one keeps its accepted version and holds up the fleets that depend on it, and no others.
"""

from reconciler.pipeline.acceptance.appointment import Appointment as Appointment
from reconciler.pipeline.acceptance.appointment import appoint as appoint
from reconciler.pipeline.acceptance.appointment import loosened as loosened
from reconciler.pipeline.acceptance.change import Facts as Facts
from reconciler.pipeline.acceptance.corpus import EMPTY_CORPUS as EMPTY_CORPUS
from reconciler.pipeline.acceptance.corpus import Corpus as Corpus
from reconciler.pipeline.acceptance.decision import Decision as Decision
from reconciler.pipeline.acceptance.decision import Released as Released
from reconciler.pipeline.acceptance.decision import decide as decide
from reconciler.pipeline.acceptance.judgement import Judged as Judged
from reconciler.pipeline.acceptance.judgement import Judges as Judges
