"""What a command found, in the form that its reader asked for.

Each form is a module with one pure function `render` from what was found to text, imported only when it is asked for: nobody who reads a
terminal should wait for what writes XML.
"""

import importlib
import re
from collections.abc import Mapping

_SURROGATES = re.compile("[\ud800-\udfff]")


def rendered(forms: Mapping[str, str], form: str, found: object) -> str:
    """Return what was found in one of `forms` (name → module), without a line feed at its end; raise `KeyError` for any other.

    What no file can hold (halves of characters, out of paths that are no UTF-8) is replaced.
    """
    text: str = importlib.import_module(forms[form]).render(found)
    return _SURROGATES.sub("\ufffd", text)
