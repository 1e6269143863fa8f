"""What contradicts itself ends in one line that says how to put it right."""

import pytest

from retimbre.errors import RecipeError
from retimbre.recipe.read import read_recipe


@pytest.fixture
def told(parity):
    """The message that overrides of one stage's file end in."""
    folder = parity("everyvoice_project") / "project" / "config"

    def message(stage, *overrides):
        with pytest.raises(RecipeError) as error:
            read_recipe(folder / f"everyvoice-{stage}.yaml", overrides)
        assert "\n" not in str(error.value)
        return str(error.value)

    return message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.upsample_rates=[8, 8, 4]", "upsample_rates and upsample_kernel_sizes differ in length"),
        (
            "model.upsample_kernel_sizes=[16, 16, 4, 1]",
            "a kernel of 1 does not go with an upsampling rate of 2",
        ),
        (
            "model.upsample_kernel_sizes=[16, 12, 4, 4]",
            "a kernel of 12 does not go with an upsampling rate of 8",
        ),
        ("model.upsample_rates=[8, 8, 4, 2]", "8 x 8 x 4 x 2 = 512"),
        ("model.istft_layer=true", "expected a product of 64 (fft_hop_size 256 / 4 for the inverse STFT)"),
        ("preprocessing.audio.vocoder_segment_size=8000", "Write 'vocoder_segment_size: 7936'"),
        (
            "preprocessing.audio.output_sampling_rate=44000",
            "expected a multiple of input_sampling_rate, 22050",
        ),
        (
            "preprocessing.audio.output_sampling_rate=44100",
            "expected a product of 512 (fft_hop_size 256 x 2 for the output rate)",
        ),
        ("preprocessing.audio.spec_type=linear", "this kind of spectrogram is not supported"),
        ("training.gan_type=wgan", "'gan_type: wgan' is not supported"),
        ("training.ckpt_steps=100", "ckpt_steps and ckpt_epochs exclude each other"),
        ("training.optimizer.alpha=0.9", "'alpha' does not go with 'name: adamw'"),
        ("training.optimizer.name=rms", "'betas' does not go with 'name: rms'"),
        ("training.optimizer.name=sgd", "expected Input should be 'adam', 'adamw' or 'rms'"),
        ("VERSION='1.1'", "this is of a newer EveryVoice"),
        ("preprocessing.source_data.0.permissions_obtained=false", "there is no permission to use 'ljmini'"),
        ("preprocessing.source_data.0.data_dir=null", "'preprocessing.source_data.0.data_dir' is missing"),
    ],
)
def test_a_vocoder_that_contradicts_itself_is_refused(told, override, expected):
    assert expected in told("spec-to-wav", override)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.decoder.input_dim=64", "the five values of input_dim differ: expected 32 everywhere"),
        ("model.variance_predictors.pitch.input_dim=8", "found 8 in variance_predictors.pitch"),
        ("model.target_text_representation_level=bpe", "expected Input should be 'characters', 'phones' or"),
        ("VERSION='2.0'", "expected VERSION up to 1.1, found 2.0"),
        ("VERSION=abc", "this is of a newer EveryVoice"),
        ("preprocessing.train_split=1.2", "'preprocessing.train_split' is wrong"),
        ("training.logger=5", "'-c training.logger': 'training.logger' is wrong"),
    ],
)
def test_a_text_to_spec_model_that_contradicts_itself_is_refused(told, override, expected):
    assert expected in told("text-to-spec", override)


def test_style_tokens_ask_for_a_width_that_their_heads_divide(told):
    widths = [f"model.{part}.input_dim=30" for part in ("encoder", "decoder")]
    widths += [f"model.variance_predictors.{name}.input_dim=30" for name in ("duration", "pitch", "energy")]

    assert "expected an input_dim that 4 divides, found 30" in told(
        "text-to-spec", "model.use_global_style_token_module=true", *widths
    )


def test_what_stands_in_a_file_is_named_with_its_line(parity, tmp_path):
    folder = parity("everyvoice_project") / "wizard_config"
    for path in folder.glob("*.yaml"):
        text = path.read_text(encoding="utf-8").replace(
            "permissions_obtained: true", "permissions_obtained: false"
        )
        (tmp_path / path.name).write_text(text, encoding="utf-8")

    with pytest.raises(RecipeError, match=r"everyvoice-shared-data\.yaml, line 14: there is no permission"):
        read_recipe(tmp_path / "everyvoice-text-to-spec.yaml")


def test_a_split_that_leaves_nothing_to_measure_on_is_refused(parity):
    path = parity("everyvoice_project") / "wizard_config" / "everyvoice-text-to-spec.yaml"

    with pytest.raises(RecipeError, match="a train_split of 1 leaves a side empty"):
        read_recipe(path, ["preprocessing.train_split=1.0"])
