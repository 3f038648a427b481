"""What the demo's company says, and to whom."""

from __future__ import annotations

import random
from typing import Any

APPLICATIONS = [("shop", "Web shop"), ("accounts", "Accounts and sign-in"), ("monitoring", "Monitoring")]
GROUPS = [("everybody", "Everybody"), ("on-call", "On call"), ("newsletter", "Newsletter readers")]

# (index of the application, template, weight)
TRAFFIC = [
    (0, "order-shipped", 40),
    (0, "invoice-ready", 18),
    (1, "sign-in-code", 28),
    (2, "incident-alert", 6),
    (0, "weekly-news", 8),
]

NAMES = [
    ("Anna Keller", "de"), ("Liam Walsh", "en"), ("Mei Chen", "zh-Hans"), ("Sofia Rossi", "en"), ("Noah Meyer", "de"),
    ("Jun Wang", "zh-Hans"), ("Emma Clarke", "en"), ("Lukas Brandt", "de"), ("Yan Liu", "zh-Hans"),
    ("Olivia Hughes", "en"), ("Jonas Weber", "de"), ("Hao Zhang", "zh-Hans"), ("Ines Moreau", "en"),
    ("Paul Fischer", "de"), ("Xin Zhou", "zh-Hans"), ("Grace Bennett", "en"), ("Mia Schulz", "de"),
    ("Lei Sun", "zh-Hans"), ("Oscar Lind", "en"), ("Clara Vogel", "de"), ("Ting Wu", "zh-Hans"), ("Amir Haddad", "en"),
    ("Lea Hartmann", "de"), ("Bo Xu", "zh-Hans"), ("Nora Jensen", "en"), ("Felix Wolf", "de"), ("Rui Huang", "zh-Hans"),
    ("Ella Murphy", "en"), ("Tim Krause", "de"), ("Yu Ma", "zh-Hans"),
]  # fmt: skip

_SHIPPED_HTML = """<html><head><style>
h1 { font-size: 22px; color: #1d2939; } p { color: #344054; line-height: 1.5; }
.button { background: #1f6feb; color: #ffffff; padding: 10px 18px; border-radius: 6px; text-decoration: none; }
</style></head><body>
<h1>Your order is on its way</h1>
<p>Hello {{ name }},</p>
<p>order <b>{{ order }}</b> left our warehouse today and should reach you on {{ arrives }}.</p>
<p><a class="button" href="{{ tracking_url }}">Follow the parcel</a></p>
</body></html>"""

TEMPLATES: list[dict[str, Any]] = [
    {
        "key": "order-shipped",
        "name": "Order shipped",
        "category": "orders",
        "priority": "medium",
        "publish": True,
        "parts": {
            "email": {
                "en": {
                    "subject": "Order {{ order }} is on its way",
                    "html": _SHIPPED_HTML,
                    "text": "Hello {{ name }},\n\norder {{ order }} arrives on {{ arrives }}.\n{{ tracking_url }}\n",
                },
                "de": {
                    "subject": "Bestellung {{ order }} ist unterwegs",
                    "text": "Hallo {{ name }},\n\nBestellung {{ order }} kommt am {{ arrives }}.\n{{ tracking_url }}\n",
                },
            },
            "sms": {
                "en": {"text": "Order {{ order }} is on its way and arrives on {{ arrives }}."},
                "de": {"text": "Bestellung {{ order }} ist unterwegs und kommt am {{ arrives }}."},
            },
        },
    },
    {
        "key": "sign-in-code",
        "name": "Sign-in code",
        "category": "security",
        "priority": "high",
        "publish": True,
        "parts": {
            "sms": {
                "en": {"text": "{{ code }} is your sign-in code. It is valid for {{ minutes }} minutes."},
                "de": {"text": "{{ code }} ist Ihr Anmeldecode. Er gilt {{ minutes }} Minuten."},
                "zh-Hans": {"text": "您的登录验证码是 {{ code }}，{{ minutes }} 分钟内有效。"},
            }
        },
    },
    {
        "key": "invoice-ready",
        "name": "Invoice ready",
        "category": "billing",
        "priority": "medium",
        "publish": True,
        "parts": {
            "email": {
                "en": {
                    "subject": "Your invoice {{ invoice }}",
                    "text": "Hello {{ name }},\n\nyour invoice {{ invoice }} over {{ amount }} {{ currency }} is ready.\n",
                },
                "zh-Hans": {
                    "subject": "您的发票 {{ invoice }}",
                    "text": "{{ name }}，您好：\n\n发票 {{ invoice }} 已开具，金额 {{ amount }} {{ currency }}。\n",
                },
            }
        },
    },
    {
        "key": "incident-alert",
        "name": "Incident alert",
        "category": "operations",
        "priority": "high",
        "publish": True,
        "parts": {
            "email": {"en": {"subject": "[{{ severity }}] {{ service }}", "text": "{{ incident }}: {{ summary }}\n"}},
            "sms": {"en": {"text": "[{{ severity }}] {{ service }}: {{ summary }} ({{ incident }})"}},
        },
    },
    {
        "key": "weekly-news",
        "name": "Weekly news",
        "category": "newsletter",
        "priority": "low",
        "publish": True,
        "parts": {
            "email": {
                "en": {
                    "subject": "This week: {{ headline }}",
                    "text": "Hello {{ name }},\n\n{% for item in items %}- {{ item }}\n{% endfor %}\nUntil next week!\n",
                }
            }
        },
    },
]


def sample_data(template: str, name: str, draw: random.Random) -> dict[str, Any]:
    """Believable data for one notification of a template."""
    match template:
        case "order-shipped":
            order = f"A-{draw.randint(10_000, 99_999)}"
            url = f"https://shop.example.com/parcels/{order}"
            return {"name": name, "order": order, "arrives": f"{draw.randint(1, 28)} November", "tracking_url": url}
        case "sign-in-code":
            return {"code": f"{draw.randint(0, 999_999):06d}", "minutes": 5}
        case "invoice-ready":
            return {
                "name": name,
                "invoice": f"INV-{draw.randint(1000, 9999)}",
                "amount": f"{draw.randint(900, 90_000) / 100:.2f}",
                "currency": draw.choice(["EUR", "GBP", "CNY"]),
            }
        case "incident-alert":
            service = draw.choice(["checkout", "search", "payments", "images"])
            incident = f"INC-{draw.randint(100, 999)}"
            return {
                "incident": incident,
                "severity": draw.choice(["P1", "P2"]),
                "service": service,
                "summary": "error rate above 2 %",
            }
        case _:
            return {
                "name": name,
                "headline": "New arrivals",
                "items": ["Autumn jackets", "Free returns", "Our new store"],
            }
