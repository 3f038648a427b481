"""The three lanes: hints that carry a chunk's id, the bell that rings them and the worker that takes them high first.

The only room that imports arq. A hint may be lost or doubled at any time; the chunk's row in the database is the truth.
"""

from portal.queues.bell import Bell
from portal.queues.lanes import LANES, Hint
from portal.queues.run import run_lanes
from portal.queues.worker import LaneWorker, Slots, give_way

__all__ = ["LANES", "Bell", "Hint", "LaneWorker", "Slots", "give_way", "run_lanes"]
