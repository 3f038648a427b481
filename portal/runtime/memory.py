"""The garbage collector of a process that has started: what lives for ever is not looked at again."""

from __future__ import annotations

import gc

# Objects until a collection of the youngest; a request makes dozens, nearly all freed by their reference counts.
YOUNGEST = 20_000


def settle_heap() -> None:
    """Call once, when everything that stays has been made.

    A full collection of what a web framework keeps takes tens of milliseconds, in which nobody is answered: frozen, it is
    left out of all of them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, 20, 20)
