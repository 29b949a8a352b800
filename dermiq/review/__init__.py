"""Preference review: the store of pairs and votes, its quality, and the sets that train. Knows no page."""
