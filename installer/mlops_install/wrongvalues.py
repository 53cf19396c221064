"""What is wrong with a value of the config, in the words of who wrote it."""

from typing import Any

TEXTS = {
    "bool_type": "it must be true or false",
    "dict_type": 'it must be a table, such as {{ name = "value" }}',
    "greater_than_equal": "it must be at least {ge}",
    "int_from_float": "it must be a whole number",
    "int_type": "it must be a whole number",
    "less_than_equal": "it must be at most {le}",
    "list_type": 'it must be a list, such as ["one", "two"]',
    "literal_error": "it must be {expected}",
    "missing": "it is needed, and not set",
    "model_type": "it must be a table",
    "string_type": "it must be a text in quotes",
    "too_short": "it must have at least {min_length} value",
}
REFERENCE = 'it must be { env = "NAME" } or { file = "PATH" }, which is where the secret is read'


def told(error: dict[str, Any]) -> str:
    """One sentence; pydantic's own where none of ours fits."""
    given = error.get("ctx", {})
    if given.get("class_name") == "SecretRef":
        return REFERENCE
    if error["type"] in TEXTS:
        return TEXTS[error["type"]].format(**given)
    message = str(error["msg"])
    return f"{message[0].lower()}{message[1:]}"
