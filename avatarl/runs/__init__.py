"""A run as files: its folder, journal, state, identity and owner, and how runs are found."""
