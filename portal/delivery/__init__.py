"""Delivery: claim a chunk, plan it, send it, settle it; and sweep up whatever a crash left behind.

It owns the decisions between an accepted notification and its terminal status. What a channel or a vendor is, it learns
from the registry and the provider accounts.
"""
