"""The vectors that all implementations share."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "vectors"


def vectors(name: str) -> Any:
    return json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))


def text_of(vector: dict[str, Any]) -> str:
    """The text of a keyring file."""
    text = vector["text"] if "text" in vector else json.dumps(vector["file"])
    assert isinstance(text, str)
    return text
