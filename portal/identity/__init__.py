"""How people sign in and who they are: users, one-time links, passwords. What they may do is in `portal.access`."""

from portal.identity.users import create_user

__all__ = ["create_user"]
