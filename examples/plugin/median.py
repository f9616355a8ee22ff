"""median: a pooling for nnkit."""

from torch import Tensor, nn


class Median(nn.Module):
    """A quantile of each channel: (B, C, H, W) to (B, C). `share`, in [0, 1], is 0.5 for the median."""

    def __init__(self, *, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}, it must lie between 0 and 1")
        self.share = share

    def forward(self, inputs: Tensor) -> Tensor:
        """Pool each channel over all its pixels."""
        return inputs.flatten(2).quantile(self.share, dim=2)
