"""How a provider declares its settings: a msgspec struct whose fields make the form, the checks and the sealing."""

from msgspec import Meta, Struct


class NoSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to set."""


def secret(title: str, description: str = "", *, min_length: int | None = None, max_length: int | None = None) -> Meta:
    """The annotation of a field that is sealed in the database and never shown again.

    `token: Annotated[str, secret("Access token")]`
    """
    return Meta(
        title=title,
        description=description or None,
        min_length=min_length,
        max_length=max_length,
        extra_json_schema={"secret": True},
    )
