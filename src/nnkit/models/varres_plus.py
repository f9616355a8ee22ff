"""varres-plus: batch-normalised convolutions and a global pooling, for images of any size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.models._checks import check_counts, check_large_enough
from nnkit.models._crop import centre_of_mass_crop
from nnkit.models._pooling import as_module, check_takes_mask, halved, num_features
from nnkit.types import Pooling, nested


class VarresPlus(nn.Module):
    """3×3 convolutions of `widths` channels with batch norm, global pooling, linear.

    More accuracy for the parameters of `varres-net`. A 2×2 max pool follows every `pool_every`-th
    convolution, `pools` in all; `pooling` makes features of each channel of the last one. `crop` takes
    from each image only the crop × crop pixels about the centre of mass of its light pixels: less work, for
    one light object on a dark ground. `glimpse` is the old name of `crop`. (B, in_channels, any height, any
    width), both at least 2 ** pools without a crop, to logits (B, num_classes). With a mask, a padded batch
    gives in eval mode what each of its images gives alone; in training without a crop the batch norms include
    the padding. Parameters: each convolution has 9 · (channels in) · width weights and its norm 2 · width;
    with the linear layer 27,666 for one channel and ten classes.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (16, 24, 36, 48),
        pools: int = 3,
        pool_every: int = 1,
        crop: int | None = None,
        glimpse: int | None = None,
        pooling: Pooling = nested("max"),
        in_channels: int = 1,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, num_classes=num_classes, **_named(widths))
        check_counts(pool_every=pool_every)
        most = len(widths) // pool_every
        if not 0 <= pools <= most:
            raise UsageError(
                f"expected pools to be from 0 to {most} with {len(widths)} convolutions and "
                f"pool_every={pool_every}, but got pools={pools}",
                hint=f"Give pools={most} or fewer, more widths, or a smaller pool_every.",
            )
        if crop is not None and glimpse is not None:
            raise UsageError(
                f"expected one of crop and glimpse, its old name, but got crop={crop}, glimpse={glimpse}",
                hint="Give crop alone.",
            )
        crop = glimpse if crop is None else crop
        if crop is not None and crop < 2**pools:
            raise UsageError(
                f"expected crop to be at least 2 ** pools = {2**pools}, but got crop={crop}",
                hint=f"Give crop={2**pools} or more, or fewer pools.",
            )
        self.pools = pools
        self.pool_every = pool_every
        self.crop = crop
        before = (in_channels, *widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(given, made, 3, padding=1, bias=False)
            for given, made in zip(before, widths, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.pooling = as_module(pooling)
        self.linear = nn.Linear(num_features(self.pooling, widths[-1]), num_classes)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, num_classes) of inputs (B, in_channels, H, W).

        `mask`, bool (B, 1, H, W), is true where there is image: a rectangle padded at the bottom and right.
        """
        features = inputs
        if self.crop is not None:
            # The crop has no padding, edges are repeated: no mask is needed.
            features, mask = centre_of_mass_crop(inputs, self.crop, mask), None
        why = f"{self.pools} 2×2 pools leave nothing of it"
        check_large_enough(*features.shape[2:], minimum=2**self.pools, why=why)
        if mask is not None:
            check_takes_mask(self.pooling)
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            # Zero outside the image: the convolution's own padding, as for the image alone.
            features = conv(features if mask is None else features.masked_fill(~mask, 0))
            if self._pools_after(place):
                # Pool before the norm: a quarter of its work.
                features = F.max_pool2d(features, 2)
                mask = None if mask is None else halved(mask)
            features = F.relu(norm(features))
        pooled = self.pooling(features) if mask is None else self.pooling(features, mask)
        logits: Tensor = self.linear(pooled)
        return logits

    def _pools_after(self, place: int) -> bool:
        turn, rest = divmod(place + 1, self.pool_every)
        return rest == 0 and turn <= self.pools


def _named(widths: tuple[int, ...]) -> dict[str, int]:
    if not widths:
        raise UsageError(
            "widths is empty", hint="Give one number of channels for each convolution: widths=[16,24,36,48]."
        )
    return {f"widths[{place}]": width for place, width in enumerate(widths)}
