"""Stores that order guarded commits: the facade that the server knows, and its adapters.

Start reading at `facade`. `urls.open_store` finds the adapter for a URL.
"""
