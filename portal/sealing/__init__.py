"""Secrets at rest and the keys derived for everything that is signed; it knows no tables and never prints a key."""

from portal.sealing.keyring import Keyring, WrongKey, make_secret_key

__all__ = ["Keyring", "WrongKey", "make_secret_key"]
