"""Who may do what: actors, permissions, roles, users, applications and their API keys; not how anybody signs in."""

from portal.access.actor import PERMISSIONS, Actor
from portal.access.api_keys import create_key, revoke_key
from portal.access.key_cache import ApiKeyEntry, KeyCache
from portal.access.models import ApiKey, Application, RoleGrant, User
from portal.access.roles import ROLES

__all__ = [
    "PERMISSIONS",
    "ROLES",
    "Actor",
    "ApiKey",
    "ApiKeyEntry",
    "Application",
    "KeyCache",
    "RoleGrant",
    "User",
    "create_key",
    "revoke_key",
]
