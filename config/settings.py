"""The one settings file; everything that differs between installations comes from the environment."""

import os
import sysconfig
from datetime import timedelta
from pathlib import Path

import environ
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- what an installation decides -------------------------------------------------------------
DEBUG = env.bool("DJANGO_DEBUG", default=False)
DEMO = env.bool("DJANGO_DEMO", default=False)
# Without one, every process makes its own: nothing is guessable, and nobody stays logged in.
# Secrets are taken as they are: `env` would read one that begins with $ as the name of another variable.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("DJANGO_HTTPS", default=False)
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgis:///grid")}
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DJANGO_CONN_MAX_AGE", default=60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# PostGIS functions are rated so dear that PostgreSQL would compile what runs for milliseconds.
DATABASES["default"].setdefault("OPTIONS", {})["options"] = "-c timezone=UTC -c jit=off"
# Lets gridmap.prepared prepare its statements; Django's own cursors never do.
DATABASES["default"]["OPTIONS"]["prepare_threshold"] = 5
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
REALTIME_REDIS_URLS = env.list("REALTIME_REDIS_URLS", default=[REDIS_URL])
MEDIA_ROOT = env.str("MEDIA_ROOT", default=str(BASE_DIR / "var" / "media"))
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "var" / "static"))
PDF_FONT = env.str("PDF_FONT", default="/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")


# --- geospatial libraries: the ones inside the wheels, newer and safer than Debian's -------------
def _bundled(package: str, pattern: str) -> str | None:
    found = sorted(Path(sysconfig.get_path("platlib"), f"{package}.libs").glob(pattern))
    return str(found[0]) if found else None


GDAL_LIBRARY_PATH = env.str("GDAL_LIBRARY_PATH", default=None) or _bundled("pyogrio", "libgdal*.so*")
GEOS_LIBRARY_PATH = env.str("GEOS_LIBRARY_PATH", default=None) or _bundled("shapely", "libgeos_c*.so*")

# --- the rooms --------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.gis",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "channels",
    "pgtrigger",
    "pghistory",
    "gridmap",
    "fieldops",
    "insight",
    "realtime",
    "mobile_api",
    "command_center",
    "map_services",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "command_center.middleware.ChineseFirst",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "command_center.middleware.ContentSecurityPolicy",
    "command_center.middleware.WhoChanged",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- people -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "fieldops.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
LOGIN_TRIES_PER_ADDRESS = env.int("LOGIN_TRIES_PER_ADDRESS", default=120)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# --- languages and time: Chinese first; stored in UTC, judged in the district's own zone ---------
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "中文"), ("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- files ------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "web" / "dist"] if (BASE_DIR / "web" / "dist").is_dir() else []
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Photos never get a public address: they are served by a view that checks rights.
MEDIA_URL = ""
FILE_UPLOAD_PERMISSIONS = 0o640
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
# Geodata from outside is read in a process of its own that ends at these.
EXCHANGE_UPLOAD_BYTES = env.int(
    "EXCHANGE_UPLOAD_BYTES", default=19_000_000
)  # on the page; the front takes 20 MB
EXCHANGE_FILE_BYTES = env.int("EXCHANGE_FILE_BYTES", default=500_000_000)  # by command
EXCHANGE_UNPACKED_BYTES = env.int("EXCHANGE_UNPACKED_BYTES", default=1_000_000_000)
EXCHANGE_MEMORY_BYTES = env.int("EXCHANGE_MEMORY_BYTES", default=4_000_000_000)
EXCHANGE_SECONDS = env.int("EXCHANGE_SECONDS", default=120)
EXCHANGE_PREVIEW_FEATURES = env.int("EXCHANGE_PREVIEW_FEATURES", default=5_000)
EXCHANGE_FEATURES = env.int("EXCHANGE_FEATURES", default=1_000_000)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: doorbell, cache, queue -------------------------------------------------------------
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "grid",
        # Nothing in the cache is worth refusing a report for: without Redis it is empty.
        "OPTIONS": {"IGNORE_EXCEPTIONS": True, "SOCKET_CONNECT_TIMEOUT": 0.3, "SOCKET_TIMEOUT": 0.3},
    }
}
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_TIMEZONE = "Asia/Shanghai"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- administration: one theme, its navigation by subject -----------------------------------------
UNFOLD = {
    "SITE_TITLE": "config.administration.site_title",
    "SITE_HEADER": "config.administration.site_title",
    "SITE_SYMBOL": "grid_view",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "config.administration.site_icon"}],
    "SHOW_LANGUAGES": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "4px",
    "COLORS": {
        # The live map's blue; Unfold's own is violet.
        "primary": {
            "50": "#eef6fb",
            "100": "#d8eaf5",
            "200": "#b2d5eb",
            "300": "#7fb8da",
            "400": "#4596c3",
            "500": "#1c79ab",
            "600": "#0b5a8f",
            "700": "#084a77",
            "800": "#0a3f63",
            "900": "#0c3552",
            "950": "#082337",
        },
    },
    "SIDEBAR": {"show_search": True, "navigation": "config.administration.navigation"},
}

# --- HTTP API ---------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.parsers.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.problems.problem_response",
    "DEFAULT_THROTTLE_RATES": {"user": "1200/min"},
    "NUM_PROXIES": 1,
    "UNAUTHENTICATED_USER": None,
}
CSRF_FAILURE_VIEW = "config.problems.forbidden"
REST_KNOX = {
    "TOKEN_TTL": timedelta(days=30),
    "TOKEN_LIMIT_PER_USER": 10,
    "AUTO_REFRESH": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Urban grid: field API",
    "DESCRIPTION": "What phones and other field devices ask for and send. Errors are RFC 9457 problem details.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]",
    "SCHEMA_PATH_PREFIX_INSERT": "",
    "PREPROCESSING_HOOKS": ["config.urls.only_field_api"],
    "ENUM_NAME_OVERRIDES": {},
}

# --- live delivery: how long a missed doorbell may cost, what a socket may do, and when it is let go -----
REALTIME_POLL_SECONDS = env.float("REALTIME_POLL_SECONDS", default=5.0)
REALTIME_SILENCE_SECONDS = env.float("REALTIME_SILENCE_SECONDS", default=40.0)
REALTIME_SLOW_SECONDS = env.float("REALTIME_SLOW_SECONDS", default=10.0)
REALTIME_SOCKETS_PER_PERSON = env.int("REALTIME_SOCKETS_PER_PERSON", default=10)
REALTIME_FRAMES_PER_SECOND = env.float("REALTIME_FRAMES_PER_SECOND", default=20.0)

# --- ways out of the house, for letters that no device acknowledges ---------------------------------
NOTIFY_ADAPTERS = {"email": "realtime.notify.email", "webhook": "realtime.notify.webhook"} | env.dict(
    "NOTIFY_ADAPTERS", default={}
)
NOTIFY_TIMEOUT_SECONDS = env.float("NOTIFY_TIMEOUT_SECONDS", default=10.0)
NOTIFY_WEBHOOK_ORIGINS = env.list("NOTIFY_WEBHOOK_ORIGINS", default=[])
NOTIFY_WEBHOOK_SECRET = os.environ.get("NOTIFY_WEBHOOK_SECRET") or SECRET_KEY
vars().update(env.email_url("EMAIL_URL", default="smtp://127.0.0.1:25"))
EMAIL_TIMEOUT = NOTIFY_TIMEOUT_SECONDS
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="grid@localhost")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    # It reports every file it wrote, and to people who run a command.
    "loggers": {"pyogrio": {"level": "WARNING"}},
    "root": {"handlers": ["console"], "level": env.str("DJANGO_LOG_LEVEL", default="INFO")},
}
