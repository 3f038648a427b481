"""Message templates: what people write, checked, versioned and rendered. It sends nothing and knows no channel by name."""
