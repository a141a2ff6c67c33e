"""Seeing a server for the first time: its authority's roots, before anything says that they can be believed.

Nothing is sent to it, no token above all; the caller compares what it shows with what a person knows.
"""

import json
import ssl
import time
import warnings
from typing import Any

import urllib3

from agent.protocol.enrolment import ANSWER_LIMIT, split_pem
from agent.protocol.errors import MalformedError, RefusedError, RetryError
from reconciler.outgoing import EndlessError, TooLargeError, connections, received

SECONDS = 20.0


def published_roots(url: str) -> list[str]:
    """Return the roots (PEM) that a server shows at `/v1/authority`, the one that issues now first; not verified by anything.

    Raises:
        RefusedError: it shows none; it is no server of ordain.
        RetryError: it can't be reached.
    """
    where = f"{url}/v1/authority"
    try:
        with warnings.catch_warnings(), connections(where, ssl_context=_believing()) as pool:
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)  # that is what this module is for
            answer = pool.request("GET", where, retries=False, redirect=False, preload_content=False, timeout=SECONDS)
            try:
                data = b"".join(received(answer, limit=ANSWER_LIMIT, until=time.monotonic() + SECONDS))
            finally:
                answer.close()
        stated: Any = json.loads(data)
        return split_pem(stated["authority"])
    except (urllib3.exceptions.HTTPError, EndlessError, TooLargeError) as error:
        message = f"{url} can't be reached: {str(error) or type(error).__name__}"
        raise RetryError(message) from error
    except (ValueError, TypeError, KeyError, RecursionError, MalformedError) as error:
        message = f"{url} shows no authority; is it a server of ordain?"
        raise RefusedError(message) from error


def _believing() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
