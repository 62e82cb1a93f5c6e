"""The SQL database: SQLite in a file, or PostgreSQL, chosen by URL."""
