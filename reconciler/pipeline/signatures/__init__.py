"""Who may change what: each commit is verified by real ssh-keygen or gpg, and held to what its signer may touch.

A range of commits is judged by the signers that were accepted before it, so no commit can let itself in. What a commit
may not do is refused file by file, as everything is: the file keeps its accepted version, and stays refused until it is
again what was accepted, or a signer who may do so makes the change anew from there (docs/signers.md).

`review.review` is the way in. This package imports nothing here, since validation uses `keys` alone.
"""
