"""Every feature's tables in one metadata. Imported by migrations and tests, and by nothing else of the portal."""

from importlib import import_module
from pathlib import Path

from portal.db import Base

for _models in sorted(Path(__file__).parent.glob("*/models.py")):
    import_module(f"portal.{_models.parent.name}.models")

metadata = Base.metadata
