"""Pagers: a number and eighty characters."""

from portal.sdk import ChannelAdapter, Part


class Pager(ChannelAdapter):
    """The address is a pager number of four to ten digits."""

    name = "pager"
    title = "Pager"
    parts = {
        "text": Part(title="Text", max_length=80, single_line=True),
        "urgency": Part(title="Urgency", description="One digit.", required=False, max_length=1),
    }
    address_title = "Pager number"
    address_example = "00471"
    preview = "bubble"

    def normalise(self, address: str) -> str:
        """Digits alone."""
        digits = address.strip().replace(" ", "").replace("-", "")
        if not digits.isascii() or not digits.isdigit() or not 4 <= len(digits) <= 10:
            raise ValueError("A pager number of four to ten digits.")
        return digits
