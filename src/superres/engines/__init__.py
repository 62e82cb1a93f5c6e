"""Engines: the runtimes that compute tiles. Import ``select`` to choose one."""
