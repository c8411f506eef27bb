"""The pages at `/console`: for one app, who its visitors are, what they would be shown and how its nights went."""

from serving.console.pages import routes

__all__ = ["routes"]
