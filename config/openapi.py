"""What every operation of the API may answer besides its own: errors, in one shape."""

from typing import Any

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "One sentence that says what to do."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "field": {"type": "string", "nullable": True, "description": "Which field, if any."},
    },
}
DESCRIPTIONS = {
    "400": "Something in the request is wrong; `field` names it.",
    "401": "The key is missing, unknown or expired.",
    "403": "The key lacks the scope.",
    "404": "There is no such thing here, or the key does not cover it.",
    "409": "Not possible now, or used up before, or the first request with this key still runs.",
    "410": "The answer to this Idempotency-Key was erased together with a person in it.",
    "411": "Send the length of the body.",
    "413": "The body is too large.",
    "415": "The body is not of a type that is read here.",
    "422": "The Idempotency-Key came with another request before.",
    "429": "The key's requests of this minute are used up.",
    "503": "The service cannot answer right now.",
}
ONLY_WITH_A_BODY = {"410", "411", "413", "415", "422"}


def add_errors(result: dict[str, Any], generator: Any, **kwargs: Any) -> dict[str, Any]:
    """drf-spectacular's hook: describe errors once, and say where they may come."""
    result["components"].setdefault("schemas", {})["Error"] = ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path in result["paths"].values():
        for method, operation in path.items():
            for status, description in DESCRIPTIONS.items():
                if method == "get" and status in ONLY_WITH_A_BODY:
                    continue
                told = {"description": description, "content": content}
                operation["responses"].setdefault(status, told)
    return result
