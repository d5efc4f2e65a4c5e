"""The composition's own app: commands that start everything, checks of settings, and nothing else."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    label = "config"

    def ready(self) -> None:
        from config import checks  # noqa: F401 - its import registers them
