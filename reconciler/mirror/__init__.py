"""Copies of repositories for sites: on a stick, or by a relay. Nothing is stored that an agent would not take, and no key is needed."""
