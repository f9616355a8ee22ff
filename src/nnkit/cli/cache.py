"""`nnkit cache list` and `nnkit cache clear`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def cache() -> None:
    """List the decoded images that are kept between runs, or remove them.

    They are kept in the folder that NNKIT_CACHE names, else in nnkit/decoded in the platform's cache folder.
    What is removed is made anew when it is needed.

    \b
    Examples:
      nnkit cache list
      nnkit cache clear --older-than 30d
    """


def list_files(**values: Any) -> None:
    """List what is cached: its source, size, age and when it was last used.

    Example: nnkit cache list
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.cache import cache_table

    result = api.list_cache()
    output.emit(result.document(), cache_table(result, width=output.width()), as_json=given.json)


def clear(**values: Any) -> None:
    """Remove what is cached, at once and without a question, and say what was removed.

    Only nnkit's own files go, whatever else is in the folder. A run that reads them goes on. A file that is
    damaged goes when it is named.

    \b
    Examples:
      nnkit cache clear
      nnkit cache clear --older-than 30d
      nnkit cache clear mnist-varres.tgz
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.cache import clear_text
    from nnkit.studies.cache import check_cleared

    options = dict(given.options)
    result = api.clear_cache(*options.pop("names", ()), **options)
    output.emit(result.document(), clear_text(result, width=output.width()), as_json=given.json)
    check_cleared(result)
