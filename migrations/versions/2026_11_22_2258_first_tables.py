"""First tables

Revision ID: d937de1b93e8
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from portal.db import Blob, Id, Json, UtcDateTime, db_now

revision = "d937de1b93e8"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "application",
        sa.Column("id", Id(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("rate_per_second", sa.Float(), nullable=True),
        sa.Column("trial", sa.Boolean(), nullable=False),
        sa.Column("guest_list", Json(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name=op.f("uq_application_key")),
    )
    op.create_table(
        "attachment",
        sa.Column("id", Id(), nullable=False),
        sa.Column("application_id", Id(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("content_type", sa.String(length=127), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", Blob(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("attachment", schema=None) as batch_op:
        batch_op.create_index("ix_attachment_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("delivery_id", Id(), nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("result", sa.String(length=10), nullable=True),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", "n"),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", Id(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", Id(), nullable=False),
        sa.Column("actor_name", sa.String(length=254), nullable=False),
        sa.Column("action", sa.String(length=80), nullable=False),
        sa.Column("target", sa.String(length=254), nullable=False),
        sa.Column("before", Json(), nullable=True),
        sa.Column("after", Json(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("seq", name=op.f("uq_audit_entry_seq")),
    )
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_entry_action"), ["action"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_entry_actor_id"), ["actor_id"], unique=False)
        batch_op.create_index("ix_audit_entry_created_at_id", ["created_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_entry_target"), ["target"], unique=False)

    op.create_table(
        "audit_head",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.Column("signed_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "audit_sealer",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "batch",
        sa.Column("id", Id(), nullable=False),
        sa.Column("application_id", Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("gate", sa.String(length=10), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "bulk_window",
        sa.Column("application_id", Id(), nullable=False),
        sa.Column(
            "template_key",
            sa.String(length=100)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=100), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_0900_bin", length=100), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "category",
            sa.String(length=60)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=60), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_0900_bin", length=60), "mysql"),
            nullable=False,
        ),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", "template_key", "category", "hour"),
    )
    op.create_table(
        "category",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("doubt_policy", sa.String(length=8), nullable=False),
        sa.Column("transactional", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "chunk",
        sa.Column("id", Id(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("lane", sa.String(length=6), nullable=False),
        sa.Column("application_id", Id(), nullable=False),
        sa.Column("batch_id", Id(), nullable=True),
        sa.Column("account_id", Id(), nullable=True),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("members", Blob(), nullable=True),
        sa.Column("first_id", Id(), nullable=True),
        sa.Column("last_id", Id(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=80), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("not_before", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("rung_at", UtcDateTime(), nullable=True),
        sa.Column("crashes", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("chunk", schema=None) as batch_op:
        batch_op.create_index(
            "ix_chunk_due",
            ["status", "lane", "application_id", "not_before"],
            unique=False,
            postgresql_where=sa.text("status <> 'done'"),
            sqlite_where=sa.text("status <> 'done'"),
        )
        batch_op.create_index(
            "ix_chunk_lease",
            ["lease_until"],
            unique=False,
            postgresql_where=sa.text("status = 'leased'"),
            sqlite_where=sa.text("status = 'leased'"),
        )
        batch_op.create_index(
            "ix_chunk_packed",
            ["last_id", "first_id"],
            unique=False,
            postgresql_where=sa.text("members IS NOT NULL"),
            sqlite_where=sa.text("members IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_chunk_uncounted",
            ["counted"],
            unique=False,
            postgresql_where=sa.text("NOT counted"),
            sqlite_where=sa.text("NOT counted"),
        )

    op.create_table(
        "delivery",
        sa.Column("id", Id(), nullable=False),
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column("chunk_id", Id(), nullable=True),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=500), nullable=False),
        sa.Column("account_id", Id(), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=True),
        sa.Column("vendor_id", sa.String(length=200), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("tried", Json(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_chunk_id",
            ["chunk_id"],
            unique=False,
            postgresql_where=sa.text("chunk_id IS NOT NULL"),
            sqlite_where=sa.text("chunk_id IS NOT NULL"),
        )
        batch_op.create_index("ix_delivery_notification_id", ["notification_id"], unique=False)
        batch_op.create_index(
            "ix_delivery_unknown",
            ["updated_at"],
            unique=False,
            postgresql_where=sa.text("status = 'unknown'"),
            sqlite_where=sa.text("status = 'unknown'"),
        )

    op.create_table(
        "election",
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind"),
    )
    op.create_table(
        "idempotency",
        sa.Column("application_id", Id(), nullable=False),
        sa.Column(
            "key",
            sa.String(length=255)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=255), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_0900_bin", length=255), "mysql"),
            nullable=False,
        ),
        sa.Column("fingerprint", Blob(), nullable=False),
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("application_id", "key"),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index("ix_idempotency_created_at", ["created_at"], unique=False)

    op.create_table(
        "key_check",
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=256), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "purpose"),
    )
    op.create_table(
        "ledger_count",
        sa.Column("id", Id(), nullable=False),
        sa.Column("minute", UtcDateTime(), nullable=False),
        sa.Column("lane", sa.String(length=6), nullable=False),
        sa.Column("event", sa.String(length=10), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("ledger_count", schema=None) as batch_op:
        batch_op.create_index("ix_ledger_count_minute", ["minute", "lane", "event"], unique=False)

    op.create_table(
        "notification",
        sa.Column("id", Id(), nullable=False),
        sa.Column("application_id", Id(), nullable=False),
        sa.Column("chunk_id", Id(), nullable=False),
        sa.Column("batch_id", Id(), nullable=True),
        sa.Column("template_version_id", Id(), nullable=False),
        sa.Column("template_key", sa.String(length=100), nullable=False),
        sa.Column("category", sa.String(length=60), nullable=False),
        sa.Column("person_id", Id(), nullable=True),
        sa.Column("lane", sa.String(length=6), nullable=False),
        sa.Column("mode", sa.String(length=4), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column(
            "reference",
            sa.String(length=200)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=200), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_0900_bin", length=200), "mysql"),
            nullable=True,
        ),
        sa.Column("replay_of", Id(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.create_index("ix_notification_application", ["application_id", "id"], unique=False)
        batch_op.create_index("ix_notification_chunk_id", ["chunk_id"], unique=False)
        batch_op.create_index(
            "ix_notification_live",
            ["status"],
            unique=False,
            postgresql_where=sa.text("status IN ('held', 'scheduled', 'accepted', 'planned')"),
            sqlite_where=sa.text("status IN ('held', 'scheduled', 'accepted', 'planned')"),
        )
        batch_op.create_index(
            "ix_notification_person",
            ["person_id", "id"],
            unique=False,
            postgresql_where=sa.text("person_id IS NOT NULL"),
            sqlite_where=sa.text("person_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_notification_reference",
            ["reference", "id"],
            unique=False,
            postgresql_where=sa.text("reference IS NOT NULL"),
            sqlite_where=sa.text("reference IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_notification_replay_of",
            ["replay_of"],
            unique=False,
            postgresql_where=sa.text("replay_of IS NOT NULL"),
            sqlite_where=sa.text("replay_of IS NOT NULL"),
        )
        batch_op.create_index("ix_notification_template", ["template_key", "id"], unique=False)

    op.create_table(
        "notification_content",
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column("content", Blob(), nullable=False),
        sa.PrimaryKeyConstraint("notification_id"),
    )
    op.create_table(
        "notification_metadata",
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column(
            "name",
            sa.String(length=40)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=40), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_0900_bin", length=40), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "value",
            sa.String(length=200)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=200), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_0900_bin", length=200), "mysql"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("notification_id", "name"),
    )
    with op.batch_alter_table("notification_metadata", schema=None) as batch_op:
        batch_op.create_index("ix_notification_metadata_value", ["name", "value", "notification_id"], unique=False)

    op.create_table(
        "person",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("locale", sa.String(length=35), nullable=True),
        sa.Column("timezone", sa.String(length=64), nullable=True),
        sa.Column("merged_into", Id(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("archived_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.create_index("ix_person_created", ["created_at", "id"], unique=False)

    op.create_table(
        "person_group",
        sa.Column("id", Id(), nullable=False),
        sa.Column(
            "key",
            sa.String(length=100)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mysql"),
            nullable=False,
        ),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name=op.f("uq_person_group_key")),
    )
    with op.batch_alter_table("person_group", schema=None) as batch_op:
        batch_op.create_index("ix_person_group_created", ["created_at", "id"], unique=False)

    op.create_table(
        "portal_user",
        sa.Column("id", Id(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("password_changed_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("last_signed_in_at", UtcDateTime(), nullable=True),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email", name=op.f("uq_portal_user_email")),
    )
    op.create_table(
        "provider_account",
        sa.Column("id", Id(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("settings", Json(), nullable=False),
        sa.Column("sealed", Blob(), nullable=True),
        sa.Column("settings_version", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("timeout_seconds", sa.Float(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name=op.f("uq_provider_account_key")),
    )
    op.create_table(
        "revision",
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind"),
    )
    op.create_table(
        "sandbox_message",
        sa.Column("id", Id(), nullable=False),
        sa.Column("delivery_id", Id(), nullable=False),
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column("application_id", Id(), nullable=False),
        sa.Column(
            "reference",
            sa.String(length=200)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=200), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_0900_bin", length=200), "mysql"),
            nullable=True,
        ),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=500), nullable=False),
        sa.Column("message", Json(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("sandbox_message", schema=None) as batch_op:
        batch_op.create_index("ix_sandbox_message_notification_id", ["notification_id"], unique=False)
        batch_op.create_index(
            "ix_sandbox_message_reference",
            ["reference", "id"],
            unique=False,
            postgresql_where=sa.text("reference IS NOT NULL"),
            sqlite_where=sa.text("reference IS NOT NULL"),
        )

    op.create_table(
        "sign_in_failure",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("blocked_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "stop",
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("stopped_by", sa.String(length=200), nullable=False),
        sa.Column("stopped_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
    )
    op.create_table(
        "suppression",
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=500), nullable=False),
        sa.Column("id", Id(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "address"),
    )
    op.create_table(
        "template",
        sa.Column("id", Id(), nullable=False),
        sa.Column(
            "key",
            sa.String(length=100)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mysql"),
            nullable=False,
        ),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("category", sa.String(length=60), nullable=True),
        sa.Column("priority", sa.String(length=10), nullable=True),
        sa.Column("default_locale", sa.String(length=35), nullable=False),
        sa.Column("draft", Json(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("current_version_id", Id(), nullable=True),
        sa.Column("archived_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name=op.f("uq_template_key")),
    )
    with op.batch_alter_table("template", schema=None) as batch_op:
        batch_op.create_index("ix_template_created", ["created_at", "id"], unique=False)

    op.create_table(
        "address",
        sa.Column("id", Id(), nullable=False),
        sa.Column("person_id", Id(), nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column(
            "value",
            sa.String(length=500)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=500), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=500), "mysql"),
            nullable=False,
        ),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("verified_at", UtcDateTime(), nullable=True),
        sa.Column("dead_at", UtcDateTime(), nullable=True),
        sa.Column("dead_reason", sa.String(length=200), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_address_person_id")),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.create_index("ix_address_person", ["person_id", "channel", "value"], unique=True)
        batch_op.create_index("ix_address_value", ["value", "channel"], unique=False)

    op.create_table(
        "api_key",
        sa.Column("id", Id(), nullable=False),
        sa.Column("application_id", Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", Json(), nullable=False),
        sa.Column("rate_per_second", sa.Float(), nullable=True),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["application_id"], ["application.id"], name=op.f("fk_api_key_application_id")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_key_sha256")),
    )
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_key_application_id"), ["application_id"], unique=False)

    op.create_table(
        "external_id",
        sa.Column(
            "source",
            sa.String(length=100)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "value",
            sa.String(length=200)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=200), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=200), "mysql"),
            nullable=False,
        ),
        sa.Column("person_id", Id(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_external_id_person_id")),
        sa.PrimaryKeyConstraint("source", "value"),
    )
    with op.batch_alter_table("external_id", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_external_id_person_id"), ["person_id"], unique=False)

    op.create_table(
        "membership",
        sa.Column("group_id", Id(), nullable=False),
        sa.Column("person_id", Id(), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["person_group.id"], name=op.f("fk_membership_group_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_membership_person_id")),
        sa.PrimaryKeyConstraint("group_id", "person_id"),
    )
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_membership_person_id"), ["person_id"], unique=False)

    op.create_table(
        "role_grant",
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("granted_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name=op.f("fk_role_grant_user_id")),
        sa.PrimaryKeyConstraint("user_id", "role"),
    )
    op.create_table(
        "route",
        sa.Column("id", Id(), nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("application_id", Id(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["provider_account.id"], name=op.f("fk_route_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("route", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_route_account_id"), ["account_id"], unique=False)
        batch_op.create_index("ix_route_channel", ["channel", "application_id", "position"], unique=False)

    op.create_table(
        "session",
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name=op.f("fk_session_user_id")),
        sa.PrimaryKeyConstraint("id_hash"),
    )
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_session_user_id"), ["user_id"], unique=False)

    op.create_table(
        "sign_in_link",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("created_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["portal_user.id"], name=op.f("fk_sign_in_link_user_id")),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    with op.batch_alter_table("sign_in_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sign_in_link_user_id"), ["user_id"], unique=False)

    op.create_table(
        "template_version",
        sa.Column("id", Id(), nullable=False),
        sa.Column("template_id", Id(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("source", Json(), nullable=False),
        sa.Column("parts", Json(), nullable=False),
        sa.Column("kinds", Json(), nullable=False),
        sa.Column("channels", Json(), nullable=False),
        sa.Column("contract", Json(), nullable=False),
        sa.Column("default_locale", sa.String(length=35), nullable=False),
        sa.Column("published_by", sa.String(length=200), nullable=False),
        sa.Column("published_at", UtcDateTime(), server_default=db_now(), nullable=False),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_template_version_template_id")),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("template_version", schema=None) as batch_op:
        batch_op.create_index("ix_template_version_n", ["template_id", "n"], unique=True)

    op.create_table(
        "vendor_token",
        sa.Column("account_id", Id(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=8192), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("fetching_until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["provider_account.id"], name=op.f("fk_vendor_token_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "name"),
    )


def downgrade() -> None:
    op.drop_table("vendor_token")
    with op.batch_alter_table("template_version", schema=None) as batch_op:
        batch_op.drop_index("ix_template_version_n")

    op.drop_table("template_version")
    with op.batch_alter_table("sign_in_link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sign_in_link_user_id"))

    op.drop_table("sign_in_link")
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_session_user_id"))
        batch_op.drop_index(batch_op.f("ix_session_expires_at"))

    op.drop_table("session")
    with op.batch_alter_table("route", schema=None) as batch_op:
        batch_op.drop_index("ix_route_channel")
        batch_op.drop_index(batch_op.f("ix_route_account_id"))

    op.drop_table("route")
    op.drop_table("role_grant")
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_membership_person_id"))

    op.drop_table("membership")
    with op.batch_alter_table("external_id", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_external_id_person_id"))

    op.drop_table("external_id")
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_key_application_id"))

    op.drop_table("api_key")
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.drop_index("ix_address_value")
        batch_op.drop_index("ix_address_person")

    op.drop_table("address")
    with op.batch_alter_table("template", schema=None) as batch_op:
        batch_op.drop_index("ix_template_created")

    op.drop_table("template")
    op.drop_table("suppression")
    op.drop_table("stop")
    op.drop_table("sign_in_failure")
    with op.batch_alter_table("sandbox_message", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_sandbox_message_reference",
            postgresql_where=sa.text("reference IS NOT NULL"),
            sqlite_where=sa.text("reference IS NOT NULL"),
        )
        batch_op.drop_index("ix_sandbox_message_notification_id")

    op.drop_table("sandbox_message")
    op.drop_table("revision")
    op.drop_table("provider_account")
    op.drop_table("portal_user")
    with op.batch_alter_table("person_group", schema=None) as batch_op:
        batch_op.drop_index("ix_person_group_created")

    op.drop_table("person_group")
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.drop_index("ix_person_created")

    op.drop_table("person")
    with op.batch_alter_table("notification_metadata", schema=None) as batch_op:
        batch_op.drop_index("ix_notification_metadata_value")

    op.drop_table("notification_metadata")
    op.drop_table("notification_content")
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.drop_index("ix_notification_template")
        batch_op.drop_index(
            "ix_notification_replay_of",
            postgresql_where=sa.text("replay_of IS NOT NULL"),
            sqlite_where=sa.text("replay_of IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_notification_reference",
            postgresql_where=sa.text("reference IS NOT NULL"),
            sqlite_where=sa.text("reference IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_notification_person",
            postgresql_where=sa.text("person_id IS NOT NULL"),
            sqlite_where=sa.text("person_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_notification_live",
            postgresql_where=sa.text("status IN ('held', 'scheduled', 'accepted', 'planned')"),
            sqlite_where=sa.text("status IN ('held', 'scheduled', 'accepted', 'planned')"),
        )
        batch_op.drop_index("ix_notification_chunk_id")
        batch_op.drop_index("ix_notification_application")

    op.drop_table("notification")
    with op.batch_alter_table("ledger_count", schema=None) as batch_op:
        batch_op.drop_index("ix_ledger_count_minute")

    op.drop_table("ledger_count")
    op.drop_table("key_check")
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.drop_index("ix_idempotency_created_at")

    op.drop_table("idempotency")
    op.drop_table("election")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_unknown",
            postgresql_where=sa.text("status = 'unknown'"),
            sqlite_where=sa.text("status = 'unknown'"),
        )
        batch_op.drop_index("ix_delivery_notification_id")
        batch_op.drop_index(
            "ix_delivery_chunk_id",
            postgresql_where=sa.text("chunk_id IS NOT NULL"),
            sqlite_where=sa.text("chunk_id IS NOT NULL"),
        )

    op.drop_table("delivery")
    with op.batch_alter_table("chunk", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_chunk_uncounted", postgresql_where=sa.text("NOT counted"), sqlite_where=sa.text("NOT counted")
        )
        batch_op.drop_index(
            "ix_chunk_packed",
            postgresql_where=sa.text("members IS NOT NULL"),
            sqlite_where=sa.text("members IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_chunk_lease", postgresql_where=sa.text("status = 'leased'"), sqlite_where=sa.text("status = 'leased'")
        )
        batch_op.drop_index(
            "ix_chunk_due", postgresql_where=sa.text("status <> 'done'"), sqlite_where=sa.text("status <> 'done'")
        )

    op.drop_table("chunk")
    op.drop_table("category")
    op.drop_table("bulk_window")
    op.drop_table("batch")
    op.drop_table("audit_sealer")
    op.drop_table("audit_head")
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_entry_target"))
        batch_op.drop_index("ix_audit_entry_created_at_id")
        batch_op.drop_index(batch_op.f("ix_audit_entry_actor_id"))
        batch_op.drop_index(batch_op.f("ix_audit_entry_action"))

    op.drop_table("audit_entry")
    op.drop_table("attempt")
    with op.batch_alter_table("attachment", schema=None) as batch_op:
        batch_op.drop_index("ix_attachment_expires_at")

    op.drop_table("attachment")
    op.drop_table("application")
