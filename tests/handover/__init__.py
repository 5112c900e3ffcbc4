"""Deployers' own programs render what we write for them: `make handover`."""
