"""Pruning: what no host can ask for any more leaves the store, by rule; each zone prunes its own prefixes.

Nothing that stands is believed to be needless because something says so: all that is needed is worked out, and what is left may go once
it is old. What can't be read is left alone, with all of its fleet.
"""
