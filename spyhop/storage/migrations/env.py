"""Alembic's entry: runs migrations on the connection that the ledger hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from spyhop.storage.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
