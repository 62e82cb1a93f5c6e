"""The wire APIs of other services, one folder each."""
