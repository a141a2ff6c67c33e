"""Opening what is encrypted with age, in memory: https://age-encryption.org/v1."""

from collections.abc import Sequence

from agent.protocol.errors import RefusedError


def decrypt(data: bytes, identities: Sequence[str]) -> bytes:
    """Return what is encrypted, armoured or not, to one of the keys.

    Raises:
        RefusedError: it is encrypted to none of them, or damaged.
    """
    import pyrage  # noqa: PLC0415 - megabytes, for hosts with secrets only

    if not identities:
        message = "there is no key here to open it with: run `ordain-agent secrets init`, and have it encrypted to what that prints"
        raise RefusedError(message)
    try:
        held = [pyrage.x25519.Identity.from_str(one) for one in identities]
        return bytes(pyrage.decrypt(data, held))
    except pyrage.IdentityError as error:
        message = "a key here is no age identity"
        raise RefusedError(message) from error
    except pyrage.DecryptError as error:
        message = (
            f"none of the {len(identities)} keys here opens it, or it is damaged: encrypt it to what `ordain-agent secrets show` prints"
        )
        raise RefusedError(message) from error
