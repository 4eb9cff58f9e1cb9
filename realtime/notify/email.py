"""By e-mail, through the server that EMAIL_URL names."""

import smtplib

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email

from . import Message, NotSent


def check(address: str) -> None:
    """Raise ValueError unless it is one e-mail address."""
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from error


def send(message: Message, address: str) -> None:
    """Send one mail; a repetition has the same Message-ID, by which mail programs know it.

    A server that says no for good (5xx) is believed; anything else may be tried again.
    """
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">")
    mail = EmailMessage(
        subject=message.subject,
        body=message.text,
        to=[address],
        headers={"Message-ID": f"<{message.key}@{domain}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        [(code, _)] = error.recipients.values()
        raise NotSent(f"refused with {code}", for_good=code >= 500) from error
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"answered {error.smtp_code}", for_good=error.smtp_code >= 500) from error
    except OSError as error:  # SMTPException is one, too
        raise NotSent(f"{type(error).__name__}: {error}") from error
