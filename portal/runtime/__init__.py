"""The processes of an installation: supervised children, the embedded Redis, the watchdog, and how they log."""
