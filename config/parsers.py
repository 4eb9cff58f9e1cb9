"""Reading what comes in: JSON from strangers."""

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class BoundedJSONParser(JSONParser):
    """JSON that is nested deeper than Python reads is the sender's fault, not ours."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Parse, or raise ParseError."""
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as error:
            raise ParseError from error
