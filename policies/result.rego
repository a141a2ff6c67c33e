# METADATA
# title: Result helper
# description: The one shape in which a rule reports. The router adds the rule's id, which a rule can't choose.
package ordain.result

# METADATA
# title: A finding at a place
# description: |
#   `chain` is `rego.metadata.chain()`, `path` leads from the root of the judged value to what is wrong
#   (`["spec", "files", 0, "mode"]`), `message` says what is wrong there in one sentence. Below a text a number is one of its
#   lines, from 0 (`["spec", "files", 0, "content", 6]`), and two are the first and the last of those that go together.
at(chain, path, message) := {"code": code(chain), "path": path, "message": message}

default code(_) := ""

# The nearest code counts: a single `deny` may carry one of its own.
code(chain) := [link.annotations.custom.code | some link in chain; link.annotations.custom.code][0]
