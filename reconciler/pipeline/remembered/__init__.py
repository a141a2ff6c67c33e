"""What earlier checks found out, kept on disk so that the next one needn't do it again.

Nothing here is an authority. An entry counts only while its seal holds and everything that it was made from is the
same, which its name says: content by blob id, schemas, judge, and this version of ordain. Whatever is missing, broken or forged is
worked out again. What can't be judged (errors), and what has findings where reading it, is never kept.
"""

from reconciler.pipeline.remembered.answers import KnownAnswers as KnownAnswers
from reconciler.pipeline.remembered.files import KnownFiles as KnownFiles
from reconciler.pipeline.remembered.identity import identity as identity
from reconciler.pipeline.remembered.manifests import KnownManifests as KnownManifests
from reconciler.pipeline.remembered.sealed import Sealed as Sealed
