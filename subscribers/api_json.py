"""JSON as the API reads it."""

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class Json(JSONParser):
    """A body that is nested beyond what Python reads is refused like one that is no JSON."""

    def parse(self, *told: Any, **named: Any) -> Any:
        try:
            return super().parse(*told, **named)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
