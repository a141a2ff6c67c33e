"""Why a TLS handshake failed, as OpenSSL has it: what hosts and operators tell apart, since each of these is mended elsewhere."""

CLOCK_CODES = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED: the clock of whoever looks may be wrong."""
PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE")
"""Reasons of what is no TLS at all: another port is meant."""
