"""Rollouts: how a release reaches a canary, proves itself by receipts, spreads in waves, and is taken back when it hurts.

Everything here is pure: what is known goes in, with the time; what should be comes out, with reasons in words. Reading evidence, keeping
state and publishing documents are done by whoever calls it.
"""
