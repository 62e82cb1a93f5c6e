"""The composition root: builds what a service is made of, from its settings."""
