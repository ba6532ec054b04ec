"""Settings of the shop: as Django's guides have them for production. libpq takes the rest from ``PGHOST``, ``PGUSER``."""

import os
import secrets

ALLOWED_HOSTS = ["127.0.0.1"]
# Both processes have it, since they are forked from one that loaded this.
SECRET_KEY = secrets.token_hex()
INSTALLED_APPS = ["payments", "shop"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "shop.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Unless told, Django makes a connection for each request, and a commit for each statement.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "CONN_MAX_AGE": None if os.environ.get("SHOP_KEEPS_CONNECTIONS") else 0,
    }
}

PAYMENT_HOST = "127.0.0.1"
PAYMENT_USES_SSL = False
PAYMENT_MODEL = "shop.Payment"
PAYMENT_VARIANTS = {"default": ("payments.dummy.DummyProvider", {})}
