"""Configurations of what is stored where, for tests that ask each store the same."""

DISK = {"storage": {"backend": "sqlite", "path": "data/belfry.db"}}
STORES = {"memory": {"storage": {"backend": "memory"}}, "sqlite": DISK}

CHAT = {
    "topics": (
        {"match": "chat/few*", "history": 0},
        {"match": "chat/*", "history": 5000, "presence": True},
        {"match": "**", "history": 1000},
    ),
    "limits": {"messages_per_second": 0},
}
