"""The composition's own app: commands that start everything, and nothing else."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    label = "config"
