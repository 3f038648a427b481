"""The plugins that come with Push Portal: one folder each, which imports `portal.sdk` and nothing else of the portal."""
