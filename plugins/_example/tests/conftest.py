"""Makes this folder importable as a plugin, wherever it lies."""

from pathlib import Path

from portal.sdk.testing import import_plugin

import_plugin(Path(__file__).parents[1])
