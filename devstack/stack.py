"""The environment every Django process of a run is given."""

from .places import ROOT, VAR, Place, secret_key
from .stores import clean_environment, start_stores
from .supervisor import Supervisor

__all__ = ["django_environment"]


async def django_environment(supervisor: Supervisor, place: Place, *, durable: bool) -> dict[str, str]:
    """Start the stores and return the variables `config.settings` reads."""
    place.media.mkdir(mode=0o700, exist_ok=True)
    return {
        **clean_environment(),
        **await start_stores(supervisor, place, durable=durable),
        "PATH": f"{VAR / 'venv' / 'bin'}:{clean_environment().get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DJANGO_SECRET_KEY": secret_key(),
        "DJANGO_DEBUG": "0",
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
        "MEDIA_ROOT": str(place.media),
        "STATIC_ROOT": str(VAR / "static"),
    }
