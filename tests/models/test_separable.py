from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from nnkit.errors import NnkitError, UsageError
from nnkit.models.separable import Separable
from nnkit.surrogates.pipelines import parse_pipeline
from nnkit.training.loop import make_ema


def reference(images: torch.Tensor) -> torch.Tensor:
    pipeline = v2.Compose([v2.Resize((28, 28), antialias=True), v2.Grayscale()])
    grey: torch.Tensor = pipeline(images)
    return grey.flip(2, 3)


def test_with_the_matrices_of_the_resize_it_is_the_reference_pipeline() -> None:
    model = Separable()
    # What the resize makes of each unit column; then the flip.
    matrix = F.interpolate(torch.eye(32)[None, None], (28, 32), mode="bilinear", antialias=True)[0, 0].flip(0)
    with torch.no_grad():
        model.channels.copy_(torch.tensor([[0.2989, 0.587, 0.114]]))
        model.rows.copy_(matrix)
        model.cols.copy_(matrix)
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(model(images), reference(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("band", [None, 8])
def test_it_starts_at_means_with_noise_as_large_as_they_are(band: int | None) -> None:
    torch.manual_seed(0)
    model = Separable(in_channels=4, image_size=(40, 50), target_size=(300, 400), band=band)
    assert torch.equal(model.channels, torch.full((1, 4), 0.25))
    for matrix, size in ((model.rows, band or 40), (model.cols, band or 50)):
        assert matrix.mean().item() == pytest.approx(1 / size, rel=0.1)
        assert matrix.std().item() == pytest.approx(1 / size, rel=0.1)
    assert not torch.equal(
        model.rows, Separable(in_channels=4, image_size=(40, 50), target_size=(300, 400)).rows
    )


def test_gradient_training_finds_the_pipeline() -> None:
    torch.manual_seed(0)
    images = F.interpolate(torch.rand(256, 3, 9, 9), (32, 32), mode="bilinear")
    targets, model = reference(images), Separable()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(240):
        rows = slice(32 * (step % 8), 32 * (step % 8) + 32)
        loss = F.mse_loss(model(images[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3
    assert loss.item() < 0.05 * targets.var().item()


def photographs(num_images: int) -> torch.Tensor:
    """Images with detail of every size, on 8-bit levels as decoded files are."""
    torch.manual_seed(0)
    smooth = F.interpolate(torch.rand(num_images, 3, 9, 9), (32, 32), mode="bilinear")
    return (0.8 * smooth + 0.2 * torch.rand(num_images, 3, 32, 32)).mul(255).round() / 255


@pytest.mark.parametrize("band", [None, 3])
def test_a_closed_form_finds_the_pipeline_to_float32s_rounding(band: int | None) -> None:
    model, images = Separable(band=band, output="clamp"), photographs(60)
    facts = model.fit_least_squares(images, reference(images))
    noise = torch.randint(0, 256, (50, 3, 32, 32)) / 255
    with torch.no_grad():
        assert (model(noise) - reference(noise)).abs().max() <= 1e-5
    assert facts["iterations"] > 1
    assert ("dropped" in facts) == (band is not None)


def test_a_band_is_171_numbers_and_runs_against_the_diagonal_after_flips() -> None:
    model, images = Separable(band=3), photographs(60)
    facts = model.fit_least_squares(images, reference(images))
    assert sum(p.numel() for p in model.parameters()) == 171
    assert model.row_columns is not None
    assert (model.row_columns[:, 0].diff() <= 0).all()
    assert facts["dropped"]["largest"] < 1e-5


def test_a_band_that_is_too_narrow_says_what_it_dropped_and_keeps_the_best_that_is_left() -> None:
    model, images = Separable(band=2), photographs(60)
    targets = reference(images)
    facts = model.fit_least_squares(images, targets)
    assert 1e-4 < facts["dropped"]["energy_share"] < 1e-2
    assert facts["dropped"]["largest"] > 0.04
    assert "band=2 dropped" in facts["notes"][0]
    dense = Separable()
    dense.fit_least_squares(images, targets)
    assert model.row_columns is not None
    assert model.col_columns is not None
    cut = Separable(band=2)
    cut.load_state_dict(
        {
            "channels": dense.channels,
            "rows": dense.rows.gather(1, model.row_columns),
            "cols": dense.cols.gather(1, model.col_columns),
            "row_columns": model.row_columns,
            "col_columns": model.col_columns,
        }
    )
    with torch.no_grad():
        assert F.mse_loss(model(images), targets) < F.mse_loss(cut(images), targets)


def test_before_gradients_the_band_is_placed_and_no_weight_changes() -> None:
    model, images = Separable(band=3), photographs(60)
    weights = {name: value.clone() for name, value in model.named_parameters()}
    facts = model.prepare_for_training(images, reference(images))
    assert all(torch.equal(weights[name], value) for name, value in model.named_parameters())
    fitted = Separable(band=3)
    fitted.fit_least_squares(images, reference(images))
    assert model.row_columns is not None
    assert fitted.row_columns is not None
    assert torch.equal(model.row_columns, fitted.row_columns)
    assert facts["dropped"]["largest"] < 1e-5
    assert Separable().prepare_for_training(images, reference(images)) == {}


def test_a_closed_form_fits_several_channels_and_sides_that_differ() -> None:
    images = photographs(60)[:, :, :24]
    targets = F.interpolate(images, (20, 28), mode="bilinear", antialias=True).flip(3)
    model = Separable(image_size=(24, 32), target_channels=3, target_size=(20, 28))
    model.fit_least_squares(images, targets)
    with torch.no_grad():
        assert (model(images) - targets).abs().max() <= 1e-5


def test_a_sigmoid_has_no_closed_form() -> None:
    images = photographs(2)
    with pytest.raises(UsageError, match="sigmoid"):
        Separable(output="sigmoid").fit_least_squares(images, reference(images))


def test_an_average_of_the_weights_keeps_the_places_of_the_band() -> None:
    model, images = Separable(band=3), photographs(60)
    model.prepare_for_training(images, reference(images))
    average = make_ema(model, 0.999)
    assert average is not None
    for _ in range(5):
        average.update_parameters(model)
    assert torch.equal(average.module.row_columns, model.row_columns)  # type: ignore[arg-type]


def smooth(num_images: int, size: int, seed: int = 0) -> torch.Tensor:
    """Images whose neighbouring pixels are alike, as photographs' are: noise with a spectrum of 1/f."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = torch.fft.fftfreq(size).square()
    amplitude = (frequencies[:, None] + frequencies + size**-2).rsqrt()
    noise = torch.randn(num_images, 1, size, size, generator=generator)
    noise = noise + 0.3 * torch.randn(num_images, 3, size, size, generator=generator)
    images = torch.fft.ifft2(torch.fft.fft2(noise) * amplitude).real
    images = images - images.amin((1, 2, 3), keepdim=True)
    return (images / images.amax((1, 2, 3), keepdim=True) * 255).round().to(torch.uint8)


@pytest.mark.slow
def test_a_fit_of_large_images_asks_for_as_many_as_it_needs() -> None:
    pipeline = parse_pipeline("resize(32),grayscale")
    model = Separable(image_size=(224, 224), target_size=(32, 32))
    images, others = smooth(model.least_squares_images, 224), smooth(4, 224, seed=1)
    facts = model.fit_least_squares(images / 255, pipeline.apply(images))
    assert facts["residual"] < 1e-5
    assert float((model(others / 255) - pipeline.apply(others)).abs().max()) < 1e-5


def test_a_fit_whose_error_still_falls_is_an_error_and_no_result() -> None:
    pipeline = parse_pipeline("resize(12),grayscale")
    images = smooth(9, 96)
    model = Separable(image_size=(96, 96), target_size=(12, 12))
    before = model.rows.clone()
    with pytest.raises(NnkitError, match=r"did not converge: after 200 rounds on 9 images") as told:
        model.fit_least_squares(images / 255, pipeline.apply(images))
    assert told.value.exit_code == 1
    assert torch.equal(model.rows, before)


def test_what_no_such_network_does_is_fitted_as_well_as_it_goes_and_said() -> None:
    images = smooth(60, 16)
    model = Separable(image_size=(16, 16), target_size=(8, 8))
    bright = parse_pipeline("resize(8),grayscale,brightness(1.8)")
    facts = model.fit_least_squares(images / 255, bright.apply(images))
    assert 0.01 < facts["residual"] < 0.5
    assert any("relative error of" in note for note in facts["notes"])
