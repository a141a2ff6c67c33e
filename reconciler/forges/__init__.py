"""Telling a forge what a plan found: commit statuses, and one comment on the pull request that is kept up to date.

    environment   which forge, repository, commit and pull request a CI job is about
    shape         what all forges have in common, as one small interface
    github, gitlab, gitea    that interface, spoken to each of them
    http          requests: whom a token is sent to, bounds, and what a refusal says to do
    answers       what an answer means, and when to come back
    patience      when to try again, and when to give up
    deliver       read what is there, compare, write what differs

Nothing is remembered here. Whatever died in between, and however many do it at once, the next one reads what the forge has and mends it.
"""
