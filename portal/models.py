"""Every feature's tables on one metadata, for Alembic and the tests; nothing else imports this."""

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

import portal
from portal.db import Base
from portal.db.revisions import Revision

for _room in iter_modules(portal.__path__, "portal."):
    if _room.ispkg and find_spec(f"{_room.name}.models") is not None:
        import_module(f"{_room.name}.models")

metadata = Base.metadata

__all__ = ["Base", "Revision", "metadata"]
