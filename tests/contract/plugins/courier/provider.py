"""Send up to 50 mails per call; each has its own answer."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from portal.sdk import Capabilities, Context, Message, Provider, Receipt, SendFailed, receipt_or_failure, secret


class CourierSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Courier account."""

    api_key: Annotated[str, secret("API key", min_length=1)]
    server: Annotated[str, Meta(title="Server")] = "https://courier.example"


class Courier(Provider):
    """Swallows a second mail with the same id for two hours."""

    name = "courier"
    title = "Courier"
    channel = "email"
    settings_type = CourierSettings
    capabilities = Capabilities(batch=50, idempotency_hours=2)

    settings: CourierSettings

    async def send(self, message: Message, ctx: Context) -> Receipt:
        """A batch of one."""
        result = (await self.send_many([message], ctx))[0]
        if isinstance(result, SendFailed):
            raise result
        return result

    async def send_many(self, messages: Sequence[Message], ctx: Context) -> list[Receipt | SendFailed]:
        """One call; when the call fails, it failed for all."""
        mails = [{"id": message.id, "to": message.address, **message.parts} for message in messages]
        headers = {"Authorization": f"Bearer {self.settings.api_key}"}
        response = await ctx.http.post(f"{self.settings.server}/batch", headers=headers, json={"mails": mails})
        receipt_or_failure(response)
        try:
            answers = {answer["id"]: answer for answer in response.json()["answers"]}
        except (ValueError, KeyError, TypeError):
            return [Receipt(detail="Accepted, but the answer could not be read: unconfirmed.") for _ in messages]
        return [_result(answers.get(message.id)) for message in messages]


def _result(answer: Any) -> Receipt | SendFailed:
    if not isinstance(answer, dict):
        return SendFailed("Courier did not say what became of this mail.", ambiguous=True)
    if answer.get("ok"):
        return Receipt(str(answer.get("message")))
    code = str(answer.get("error", "unknown"))
    return SendFailed(f"Courier refused the mail: {code[:40]}.", permanent=code != "busy", code=code[:40])
