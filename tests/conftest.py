"""Hypothesis does not time examples: on a busy machine a slow one says nothing about the code."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
