"""The API server: the only asynchronous room."""
