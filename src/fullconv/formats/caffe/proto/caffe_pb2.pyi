"""Messages are built at import; to a type checker they are Any."""

from typing import Any

def __getattr__(name: str) -> Any: ...
