"""Who may do what, how fast and how often: credentials, policies, plans."""
