"""Typer's command and group, without what makes a plain start import all of pydantic."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class QuickCommand(TyperCommand):
    """A command whose help option is False, not None, when it is not given: None is coerced by pydantic."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, with a default that needs no coercion."""
        return _plain(super().get_help_option(ctx))


class QuickGroup(TyperGroup):
    """A group whose help option is False, not None, when it is not given."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, with a default that needs no coercion."""
        return _plain(super().get_help_option(ctx))


def _plain(option: Any) -> Any:
    if option is not None and option.default is None:
        option.default = False
    return option
