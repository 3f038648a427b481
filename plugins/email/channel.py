"""Mail addresses and the parts of a mail."""

import re
from collections.abc import Mapping

from email_validator import EmailNotValidError, validate_email

from portal.sdk import ChannelAdapter, Part

EXPECTED = "A mail address such as name@example.com"
# The usual form, decided without the full grammar: it is a hundred times faster and this runs for every recipient.
USUAL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}|localhost)"
)


class Email(ChannelAdapter):
    """One mail to one address."""

    name = "email"
    title = "E-mail"
    parts = {
        "subject": Part(title="Subject", single_line=True, max_length=500),
        "text": Part(title="Text", description="For readers that show no HTML.", required=False, max_length=500_000),
        "html": Part(kind="html", title="HTML", required=False, max_length=2_000_000),
    }
    address_title = "Mail address"
    address_example = "name@example.com"
    preview = "mail"

    def normalise(self, address: str) -> str:
        """The domain in lower case and ASCII; the part before the @ as it is, for only its server knows its case."""
        text = address.strip()
        local, _, domain = text.rpartition("@")
        if len(text) <= 254 and len(local) <= 64 and USUAL.fullmatch(text):
            return f"{local}@{domain.lower()}"
        try:
            valid = validate_email(
                text, check_deliverability=False, globally_deliverable=False, allow_smtputf8=False, strict=True
            )
        except EmailNotValidError as error:
            raise ValueError(f"{EXPECTED} ({str(error).rstrip('.')}).") from None
        return f"{valid.local_part}@{valid.ascii_domain}"

    def mask(self, address: str) -> str:
        """First letter and domain."""
        local, _, domain = address.rpartition("@")
        return f"{local[:1]}•••@{domain}"

    def validate(self, parts: Mapping[str, str]) -> dict[str, str]:
        """As declared, with a text or an HTML part."""
        problems = super().validate(parts)
        if not any(parts.get(name, "").strip() for name in ("text", "html")):
            problems["text"] = "A mail needs a text or an HTML part."
        return problems
