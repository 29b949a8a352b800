"""Run by Alembic, on the connection and in the transaction of `dermiq.review.store.database`."""

from alembic import context

from dermiq.review.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
