"""Secrets by reference: values that only this host knows, held in memory, and what of them may be kept or shown.

A release says where a value comes from: ciphertext that it brings (age, SOPS), a field in Vault or OpenBao, or a file of the host's own.
On disk a value is only where the release put it: in a file that its owner alone reads, or in a process.
"""
