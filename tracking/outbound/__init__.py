"""Webhooks out: what happened is told to integrators' own addresses, signed, until they answer 2xx."""
