"""`nnkit count-params`."""

from __future__ import annotations

from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def count_params(
    specs: Annotated[
        list[str],
        typer.Argument(metavar="SPEC...", help="Models, such as mnist-convnet or varres-net:width=81."),
    ],
    input: Annotated[
        str | None,
        typer.Option(
            help="The image, as in 1x28x28 [default: what each model is made for].", metavar="CxHxW"
        ),
    ] = None,
    match: Annotated[
        str | None, typer.Option(help="A model, or a number of parameters, to come close to.", metavar="SPEC")
    ] = None,
    vary: Annotated[
        str | None, typer.Option(help="The integer setting to choose for --match.", metavar="SETTING")
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(help="How far off a match may be; else exit 4 [default: 1%].", metavar="SHARE"),
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
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
    output.set_up(quiet=quiet, debug=debug)
    from nnkit import api
    from nnkit.present.count_params import count_params_text
    from nnkit.studies.count_params.study import check_tolerance

    result = api.count_params(specs, input=input, match=match, vary=vary, tolerance=tolerance)
    document = result.document()
    output.emit(document, count_params_text(document, width=output.width()), as_json=json)
    check_tolerance(result)
