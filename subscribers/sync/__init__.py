"""Subscribers from a provider's list of opted-in numbers: `manage.py sync_subscribers`."""
