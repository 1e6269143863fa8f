"""Whatever a report assumes can be stated instead, and nonsense is refused in one line: of every family."""

import json
import math
from functools import cache

import pytest
import torch

from building.rankers import CLVP, CVVP
from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import Contents
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Assumption
from retimbre.models.complete import network_outline
from retimbre.models.description import Description, sizes_of
from retimbre.models.explain import explain
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, PredictorSizes
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.identify import identify
from retimbre.models.load import load_model, save_model
from retimbre.models.registry import FAMILIES
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.univnet.config import UnivNetConfig

STACK = ConformerSizes(n_layers=1, n_heads=2, dim=8, feedforward_dim=12, kernel=3)
PREDICTOR = PredictorSizes(n_layers=1, dim=6)
UPSAMPLING = {
    "upsample_rates": (4, 2, 2),
    "upsample_kernels": (8, 4, 4),
    "initial_channels": 16,
    "resblock_kernels": (3, 5),
    "resblock_dilations": ((1, 3, 5), (1, 3, 5)),
}
CONFIGS = {
    "fastspeech2": FastSpeech2Config(
        n_symbols=9,
        n_mels=7,
        encoder=STACK,
        decoder=STACK,
        duration=PREDICTOR,
        pitch=PREDICTOR,
        energy=PREDICTOR,
        n_pitch_bins=5,
        n_energy_bins=4,
        attention_dim=6,
    ),
    "hifigan": GeneratorConfig(n_mels=7, **UPSAMPLING),
    "tortoise_ar": UnifiedVoiceConfig(
        n_layers=1,
        dim=16,
        n_conditioning_layers=1,
        n_symbols=13,
        n_codes=20,
        n_symbol_positions=14,
        n_code_positions=17,
        start_symbol=12,
        start_code=18,
        stop_code=19,
    ),
    "tortoise_clvp": CLVP,
    "tortoise_cvvp": CVVP,
    "tortoise_diffusion": DiffusionConfig(n_mels=9, dim=16, n_layers=1, n_heads=2, latent_dim=11, n_codes=13),
    "tortoise_dvae": DvaeConfig(n_mels=80, n_codes=17, codebook_dim=9, dim=12, n_layers=1, n_resblocks=1),
    "tortoise_hifigan": LatentDecoderConfig(latent_dim=7, conditioning_dim=9, **UPSAMPLING),
    "tortoise_random_latent": RandomLatentConfig(dim=5),
    "univnet": UnivNetConfig(n_mels=10, noise_dim=6, dim=4, strides=(4, 2), dilations=(1, 3)),
}
JUDGES = DiscriminatorConfig(width=1 / 64, periods=(2, 3), n_scales=1)

OTHER = {  # another good value for each of them
    "heads": 4,
    "start_text_token": 3,
    "stop_text_token": 5,
    "start_mel_token": 3,
    "stop_mel_token": 5,
    "mel_length_compression": 512,
    "types": 3,
    "max_conditioning_inputs": 1,
    "residual": "norm(x) + h",
    "text_heads": 4,
    "speech_heads": 2,
    "transformer_heads": 4,
    "stride": 3,
    "activation": "silu",
    "lr_mul": 0.01,
    "upsample_factors": [2, 4, 4],
    "upsample_rates": [2, 4, 4],
    "resblock_dilation_sizes": [[1, 2, 3], [3, 2, 1]],
    "strides": [4, 2],  # a UnivNet's kernels are twice its strides: there is no other good value
    "dilations": [2, 5],
    "lReLU_slope": 0.1,
    "periods": [5, 11],
    "encoder.heads": 4,
    "decoder.heads": 1,
    "pitch.level": "frame",
    "energy.level": "frame",
}
BAD = (  # in any place where one value stands
    None, True, -1, -3.5, 2.5, 10**9, 10**400, math.nan, math.inf, -math.inf, 1e308, "", "many", "1", [], [1],
    [[2]], {}, {"a": 1}, [0, 0, 0, 0],
)  # fmt: skip
BAD_IN_LISTS = (None, True, -1, 2.5, 10**9, 10**400, math.nan, "1", [])
GOOD = {"lr_mul": (2.5,)}  # of these


@cache
def tensors_of(name):
    """Of a tiny network; a vocoder's with discriminators, so that their periods are assumed."""
    (family,) = [family for family in FAMILIES if family.name == name]
    tensors = network_outline(family.build, CONFIGS[name])
    if name == "hifigan":
        tensors = {**tensors, **network_outline(Discriminators, JUDGES)}
    return tensors


@pytest.fixture
def file(tmp_path):
    """A file of a tiny network, as torch.save writes it."""

    def write(name):
        weights = {key: torch.ones_like(t, device="cpu") for key, t in tensors_of(name).items()}
        torch.save(weights, tmp_path / "a.pth")
        return tmp_path / "a.pth"

    return write


def explained(name, tmp_path, stated=None):
    tensors = LazyTensors.in_memory(tensors_of(name))
    return explain(Contents(path=tmp_path / "a.pth", container="torch-zip", tensors=tensors), stated=stated)


def names_in(assumed):
    return [each.name for each in assumed if each.can_be_stated]


def wrong_values(name, assumed):
    """Each bad value in place of the whole, and in place of one number of a list or of a list in a list."""
    yield from (bad for bad in BAD if bad not in GOOD.get(name, ()))
    if isinstance(assumed, list):
        last = assumed[-1]
        for inner in wrong_values(name, last) if isinstance(last, list) else (*BAD_IN_LISTS, 0):
            yield [*assumed[:-1], inner]
        yield assumed[:-1]
        yield [*assumed, assumed[-1]]


def test_there_is_a_file_of_every_family():
    assert {family.name for family in FAMILIES} == CONFIGS.keys()


@pytest.mark.parametrize("name", CONFIGS)
def test_everything_that_is_assumed_can_be_stated(name, file):
    path = file(name)
    usual = identify(path)
    assert usual.family == name
    for assumption in usual.assumed:
        if not assumption.can_be_stated:
            assert assumption.value is None
            continue
        value = OTHER[assumption.name]
        stated = identify(path, assume={assumption.name: value})
        assert stated.problem is None
        changes = (stated.config, stated.sizes) != (usual.config, usual.sizes)
        assert changes == (value != assumption.value) == (assumption.name != "strides"), assumption.name
        left = [each for each in usual.assumed if each.name != assumption.name]
        assert [each.name for each in stated.assumed] == [each.name for each in left]
        assert f"--assume {assumption.name}=…" in usual.to_text()
        assert f"--assume {assumption.name}=…" not in stated.to_text()


@pytest.mark.parametrize("name", CONFIGS)
def test_what_was_assumed_may_be_stated_as_it_is(name, file):
    path = file(name)
    usual = identify(path)
    stated = {each.name: each.value for each in usual.assumed if each.can_be_stated}
    if stated:
        report = identify(path, assume=json.loads(json.dumps(stated)))
        assert report.config == usual.config
        assert names_in(report.assumed) == []


@pytest.mark.parametrize("name", CONFIGS)
def test_nonsense_is_refused_in_one_line(name, tmp_path):
    for assumption in explained(name, tmp_path).description.assumed:
        if assumption.can_be_stated:
            for value in wrong_values(assumption.name, assumption.value):
                with pytest.raises(CheckpointError) as raised:
                    explained(name, tmp_path, {assumption.name: value})
                assert "\n" not in str(raised.value)
                assert len(str(raised.value)) < 700


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("tortoise_ar", {"heads": 3}),
        ("tortoise_ar", {"heads": 32}),
        ("tortoise_clvp", {"text_heads": 3}),
        ("tortoise_cvvp", {"transformer_heads": 3}),
        ("fastspeech2", {"encoder.heads": 3}),
        ("fastspeech2", {"decoder.heads": 16}),
        ("tortoise_ar", {"types": 5}),
        ("tortoise_ar", {"start_mel_token": 20}),
        ("tortoise_ar", {"start_mel_token": 19}),  # the stop has this row
        ("tortoise_ar", {"max_conditioning_inputs": 15}),
        ("tortoise_dvae", {"stride": 4}),  # longer than the kernel
        ("univnet", {"strides": [4, 3]}),
        ("hifigan", {"upsample_rates": [3, 2, 2]}),  # the kernel of 8 is no even number longer
        ("hifigan", {"upsample_rates": [16, 2, 2]}),
        ("hifigan", {"periods": [3, 3]}),
        ("tortoise_hifigan", {"upsample_factors": [3, 2, 2]}),
    ],
)
def test_what_contradicts_the_tensors_is_an_error_and_no_report(name, stated, file):
    with pytest.raises(CheckpointError) as raised:
        identify(file(name), assume=stated)
    assert "\n" not in str(raised.value)


def test_a_name_that_nothing_is_assumed_about_is_refused_with_the_nearest(file):
    with pytest.raises(CheckpointError, match=r"nothing is assumed about 'head': .*Write heads"):
        identify(file("tortoise_ar"), assume={"head": 4})
    with pytest.raises(CheckpointError, match="the file tells everything"):
        identify(file("tortoise_diffusion"), assume={"heads": 4})


def test_a_file_that_needs_what_is_stated_opens_with_it(tmp_path):
    """A kernel of 5 is half of no whole number: the usual rate, 2, cannot be right."""
    config = GeneratorConfig(
        n_mels=7, **UPSAMPLING | {"upsample_rates": (4, 2, 1), "upsample_kernels": (8, 4, 5)}
    )
    (family,) = [family for family in FAMILIES if family.name == "hifigan"]
    tensors = {key: torch.randn(t.shape) for key, t in network_outline(family.build, config).items()}
    torch.save(tensors, tmp_path / "a.pth")
    assert "no upsampling by 2 has such a kernel" in identify(tmp_path / "a.pth").problem
    assert identify(tmp_path / "a.pth", assume={"upsample_rates": [4, 2, 1]}).config == config


def test_a_model_is_loaded_with_what_is_stated(file):
    path = file("tortoise_ar")
    usual, stated = (load_model(path, assume=stated) for stated in (None, {"heads": 4}))
    assert (usual.model.config.n_heads, stated.model.config.n_heads) == (1, 4)


def test_our_own_file_keeps_what_was_assumed_until_it_is_stated(tmp_path):
    config = CONFIGS["tortoise_random_latent"]
    (family,) = [family for family in FAMILIES if family.name == "tortoise_random_latent"]
    doubt = Assumption(name="lr_mul", value=0.1, because="fixed in TorToiSe's class")
    described = Description(family=family.name, sizes=sizes_of(config), assumed=(doubt,))
    path = save_model(tmp_path / "a.safetensors", family.build(config), described)
    assert names_in(identify(path).assumed) == ["lr_mul"]
    stated = identify(path, assume={"lr_mul": 0.02})
    assert (stated.config.rate_scale, stated.assumed) == (0.02, ())
