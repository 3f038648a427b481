"""Writes the mail: pure, no I/O.

Sources: RFC 5322 (fields), RFC 2045-2047 (MIME), RFC 8058 (one-click unsubscribe), RFC 3834 (automatic mail).
"""

from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from portal.sdk import Attachment, Message, SendFailed, header_problem

# Fields that say who, to whom and how it is encoded: the composer's own.
RESERVED = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "subject",
        "date",
        "message-id",
        "reply-to",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "content-disposition",
        "return-path",
        "received",
        "dkim-signature",
        "list-unsubscribe-post",
    }
)
ONE_CLICK = "List-Unsubscribe=One-Click"
POLICY = SMTP.clone(cte_type="7bit", max_line_length=76)


def compose(message: Message, sender: str, now: datetime) -> EmailMessage:
    """The mail for this message. `sender` is an address, with or without a display name.

    Raises SendFailed(permanent) for anything that could smuggle a header field or a second recipient.
    """
    mail = EmailMessage(policy=POLICY)
    name, address = parseaddr(sender)
    _set(mail, "From", str(_address(address, name)))
    _set(mail, "To", str(_address(message.address)))
    _set(mail, "Subject", message.parts["subject"])
    _set(mail, "Date", format_datetime(now))
    _set(mail, "Message-ID", f"<{message.id}@{address.rpartition('@')[2]}>")
    if message.reply_to:
        reply_name, reply_address = parseaddr(message.reply_to)
        _set(mail, "Reply-To", str(_address(reply_address, reply_name)))
    if message.locale:
        _set(mail, "Content-Language", message.locale)
    _extra(mail, message)
    _unsubscribe(mail, message)
    _body(mail, message)
    return mail


def _set(mail: EmailMessage, name: str, value: str) -> None:
    problem = header_problem(name, value)
    if problem is not None:
        raise SendFailed(problem, permanent=True)
    try:
        mail[name] = value
    except (ValueError, HeaderParseError, IndexError):
        raise SendFailed(f"The header field {name} cannot be written.", permanent=True) from None


def _address(address: str, name: str = "") -> Address:
    problem = header_problem("Address", address) or header_problem("Address", name)
    if problem is not None or not address.isascii() or "@" not in address:
        raise SendFailed("The mail address cannot be written into a mail.", permanent=True)
    try:
        return Address(display_name=name, addr_spec=address)
    except (ValueError, HeaderParseError, IndexError):
        raise SendFailed("The mail address cannot be written into a mail.", permanent=True) from None


def _extra(mail: EmailMessage, message: Message) -> None:
    for name, value in message.headers.items():
        if name.lower() in RESERVED:
            raise SendFailed(f"The header field {name[:40]!r} is the composer's own.", permanent=True)
        _set(mail, name, value)
    if "Auto-Submitted" not in mail:
        _set(mail, "Auto-Submitted", "auto-generated")


def _unsubscribe(mail: EmailMessage, message: Message) -> None:
    if message.unsubscribe_url and "List-Unsubscribe" not in mail:
        url = message.unsubscribe_url
        if any(mark in url for mark in "<>, ") or not url.startswith(("https://", "http://")):
            raise SendFailed("The unsubscribe link is not a plain http address.", permanent=True)
        _set(mail, "List-Unsubscribe", f"<{url}>")
    if "<https://" in str(mail.get("List-Unsubscribe", "")):
        # One click is promised for https only (RFC 8058, section 3.1).
        mail["List-Unsubscribe-Post"] = ONE_CLICK


def _body(mail: EmailMessage, message: Message) -> None:
    text, html = message.parts.get("text", ""), message.parts.get("html", "")
    inline = [attachment for attachment in message.attachments if attachment.content_id]
    if text or not html:
        mail.set_content(text)
    if html and text:
        mail.add_alternative(html, subtype="html")
    elif html:
        mail.set_content(html, subtype="html")
    if html and inline:
        payload = mail.get_payload()
        target = payload[-1] if isinstance(payload, list) else mail
        assert isinstance(target, EmailMessage)
        for attachment in inline:
            _attach(target, attachment, related=True)
    for attachment in message.attachments:
        if not (html and attachment.content_id):
            _attach(mail, attachment, related=False)


def _attach(target: EmailMessage, attachment: Attachment, *, related: bool) -> None:
    problem = header_problem("Attachment", attachment.name) or header_problem("Attachment", attachment.content_type)
    problem = problem or header_problem("Attachment", attachment.content_id or "")
    main, _, sub = attachment.content_type.partition("/")
    if problem is not None or not main.isalnum() or not sub or any(mark in sub for mark in '/;"\\ <>'):
        raise SendFailed("An attachment's name or type cannot be written into a mail.", permanent=True)
    add = target.add_related if related else target.add_attachment
    content_id = f"<{attachment.content_id}>" if attachment.content_id else None
    disposition = "inline" if related else "attachment"
    try:
        add(
            attachment.content,
            maintype=main,
            subtype=sub,
            cid=content_id,
            filename=attachment.name,
            disposition=disposition,
        )
    except (ValueError, HeaderParseError, KeyError):
        raise SendFailed("An attachment's name or type cannot be written into a mail.", permanent=True) from None
