"""Notifications as the callers see them: accepting, reading, changing, cancelling and replaying.

It owns the way in and the JSON API of notifications; the tables are the ledger's, the sending is delivery's.
"""
