"""`nnkit count-params`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def count_params(**values: Any) -> None:
    """Count a model's parameters by layer, its FLOPs and activation memory; several models side by side.

    Parameters that layers share count once. FLOPs are those of matrix products, convolutions and attention
    for one image, a multiply-add as two. Activations are the layers' outputs for one image at float32.
    Nothing is trained, and no weights are made.

    \b
    Examples:
      nnkit count-params mnist-convnet
      nnkit count-params varres-net varres-net:width=81 mnist-convnet
      nnkit count-params conv-linear --input 3x64x64
      nnkit count-params varres-net --match mnist-convnet --vary width
      nnkit count-params mlp-bottleneck --match 500000 --vary hidden --tolerance 0.1%
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.count_params import count_params_text

    result = api.count_params(**given.layers)
    output.emit(result.document(), count_params_text(result, width=output.width()), as_json=given.json)
    from nnkit.studies.count_params.study import check_tolerance

    check_tolerance(result)
