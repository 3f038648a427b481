"""The ledger: what was accepted, planned, sent and how it ended.

It owns the tables of notifications, chunks, deliveries and attempts, their statuses and the counts that must balance.
It decides nothing and sends nothing.
"""
