"""What the terminal shows: one line a step, with the seconds it took."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console

console = Console(stderr=True, highlight=False)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step while it runs, and say how long it took."""
    begun = time.monotonic()
    with console.status(f"{title} …") if console.is_terminal else contextlib.nullcontext():
        yield
    console.print(f"  [green]✓[/] {title}  [dim]{time.monotonic() - begun:.1f} s[/]")
