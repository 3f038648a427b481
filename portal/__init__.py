"""Push Portal: one service and one portal for every notification a company sends."""

__version__ = "0.1.0"
