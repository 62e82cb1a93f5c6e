"""Cutting pictures into tiles and putting the results together; no model, no engine."""
