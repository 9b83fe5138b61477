"""A group of commands that knows what a mistyped one was meant to be."""

from __future__ import annotations

import click

from nsysan.text import plain


class Suggesting(click.Group):
    """Says which command is meant by a name that is none."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; UsageError with the command that looks like it where there is no such command."""
        name = args[0] if args else ""
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            from difflib import get_close_matches

            near = get_close_matches(name, self.list_commands(ctx), n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {plain(name, 60)!r}.{meant}")
        return super().resolve_command(ctx, args)
