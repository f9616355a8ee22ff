"""A convolution of a 4×4 image and its backward pass, step by step, every tensor printed.

Run it with `python examples/convolution_by_hand.py`. The steps are those of `nnkit.ops.Conv2dFunction`; at
the end torch's own convolution is asked for the same gradients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nnkit.ops import conv_output_size, fold, unfold


def show(title: str, tensor: Tensor) -> None:
    """Print a tensor under its title and shape; of images, the one channel of the one image."""
    matrix = tensor[0, 0] if tensor.ndim == 4 else tensor
    print(f"\n{title}, {' × '.join(str(length) for length in tensor.shape)}")
    for row in matrix.tolist():
        print("  " + " ".join(f"{value + 0.0:5g}" for value in row))


def main() -> None:
    """Walk forward to the loss and back to the gradients of the kernel and of the image."""
    # One image of one channel (b, c, h, w); one kernel (o, c, hk, wk) that finds edges: right minus left.
    image = torch.tensor([[0.0, 1, 3, 2], [1, 2, 0, 1], [2, 0, 1, 3], [0, 1, 2, 1]])[None, None]
    kernel = torch.tensor([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])[None, None]
    show("The image X", image)
    show("The kernel K", kernel)

    size = conv_output_size((4, 4), (3, 3))
    print(
        f"\nThe kernel has {size[0]} places down and {size[1]} across: the output is {size[0]} × {size[1]}."
    )

    print("\n--- Forward: lay out the patches, multiply ---")
    patches = unfold(image, 3)[0]
    show("The patches U = unfold(X), one per column, each read row by row", patches)
    weights = kernel.flatten(1)
    show("The kernel as a row, W", weights)
    products = weights @ patches
    show("Each patch times the kernel, Y = W U", products)
    output = products.reshape(1, 1, *size)
    show("Y read as an image", output)
    loss = (output**2).sum() / 2
    print(f"\nA loss to bring down: L = ½ Σ Y² = {loss:g}. Its gradient is Y itself.")

    print("\n--- Backward: from dL/dY to the kernel and to the image ---")
    grad_products = products
    show("dL/dY, one column per patch", grad_products)
    grad_weights = grad_products @ patches.T
    show("dL/dW = dL/dY Uᵀ: each weight sums what it met in all patches", grad_weights)
    grad_kernel = grad_weights.reshape(kernel.shape)
    show("dL/dK, the same read as a kernel", grad_kernel)
    grad_patches = weights.T @ grad_products
    show("dL/dU = Wᵀ dL/dY: what each value of each patch did to the loss", grad_patches)
    grad_image = fold(grad_patches[None], (4, 4), 3)
    show("dL/dX = fold(dL/dU): a pixel sums over the patches that hold it", grad_image)

    print("\n--- The same by torch ---")
    image.requires_grad_()
    kernel.requires_grad_()
    ((F.conv2d(image, kernel) ** 2).sum() / 2).backward()
    assert image.grad is not None
    assert kernel.grad is not None
    print(f"dL/dK agrees: {torch.allclose(kernel.grad, grad_kernel)}")
    print(f"dL/dX agrees: {torch.allclose(image.grad, grad_image)}")


if __name__ == "__main__":
    main()
