"""The certificate authority: who an agent is, as a certificate says it.

One root for an installation, an intermediate for each tenant, and certificates of agents that live for a day. Nothing else than
ordain trusts it.
"""
