"""Where a picture comes from when a request does not simply send its bytes."""
