"""Alembic migrations of the ledger database; `spyhop.storage.database` runs them when it opens one.

A migration that has been released is never edited: a change of `spyhop.storage.tables` comes with the next file.
"""
