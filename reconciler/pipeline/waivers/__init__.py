"""Waivers: manifests that excuse one verdict until a date. All of it is pure; the time is passed in.

A waiver matches by rule, object, place (list items by name) and value. What it excuses stays a verdict: it is shown with the
waiver's name, owner, reason and end, and blocks nothing. Errors, findings of schemas, and rules whose METADATA says
`waivable: false` are never excused.
"""

from reconciler.pipeline.waivers.matching import WHOLE as WHOLE
from reconciler.pipeline.waivers.matching import Excused as Excused
from reconciler.pipeline.waivers.matching import Found as Found
from reconciler.pipeline.waivers.matching import NearMiss as NearMiss
from reconciler.pipeline.waivers.matching import excuse as excuse
from reconciler.pipeline.waivers.matching import place_in as place_in
from reconciler.pipeline.waivers.notices import NOTICE_DAYS as NOTICE_DAYS
from reconciler.pipeline.waivers.notices import Expiring as Expiring
from reconciler.pipeline.waivers.notices import ends_within as ends_within
from reconciler.pipeline.waivers.notices import expiring as expiring
from reconciler.pipeline.waivers.notices import next_instant as next_instant
from reconciler.pipeline.waivers.terms import Waiver as Waiver
from reconciler.pipeline.waivers.terms import read as read
