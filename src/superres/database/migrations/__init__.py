"""The history of the tables, as Alembic migrations that ship with the package.

A change of a table is a new file in ``versions``, numbered one up, with an ``upgrade()``; and
:data:`superres.database.migrate.HEAD` names it. A test compares what the migrations make with
what the rooms declare, on both databases. A migration that is released is never edited.

There is no way down: who must go back puts a backup in place. SQLite can hardly alter tables,
so use ``op.batch_alter_table`` there. Everything runs in one transaction on both databases.
"""
