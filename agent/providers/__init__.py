"""What a host can be held to. Each provider observes, compares purely, then fixes.

`files` and `artifacts` both end as items on a file system, so they share one shape, one comparison and one
transaction; each only says what its part of a state means.

What can't be switched (packages, users, kernel settings, blocks in files of others) is a `Fix` each; `converge` puts those in
order and keeps an account of them.
"""
