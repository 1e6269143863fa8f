"""Whatever is wrong with one tensor of a file, the message names that tensor."""

import re
from dataclasses import asdict

import pytest

from building.mutations import mutations
from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import Contents
from retimbre.errors import CheckpointError
from retimbre.models.complete import outline_of, shapes_of
from retimbre.models.explain import explain
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, PredictorSizes, StyleSizes
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.model import Generator

SYMBOLS, STYLE_TOKENS = "text_input_layer.weight", "gst.stl.gst_embs"
SPEAKERS, LANGUAGES = "speaker_embedding.weight", "language_embedding.weight"
STACK = ConformerSizes(n_layers=2, n_heads=2, dim=8, feedforward_dim=12, kernel=5)
PREDICTOR = PredictorSizes(n_layers=2, dim=8, kernel=3)
TEXT_TO_SPEC = FastSpeech2Config(
    n_symbols=11, n_mels=10, encoder=STACK, decoder=STACK, duration=PREDICTOR, pitch=PREDICTOR,
    energy=PREDICTOR, n_pitch_bins=6, n_energy_bins=7, attention_dim=9, postnet_dim=13, n_speakers=4,
    n_languages=3, style=StyleSizes(n_tokens=5, n_heads=2, channels=(4, 4), summary_dim=6),
)  # fmt: skip
VOCODER = GeneratorConfig(
    n_mels=7, upsample_rates=(4, 2, 2), upsample_kernels=(8, 4, 4), initial_channels=16,
    resblock_kernels=(3, 5), resblock_dilations=((1, 3, 5), (1, 3, 5)),
)  # fmt: skip
JUDGES = DiscriminatorConfig(width=1 / 32, periods=(2, 3, 5), n_scales=3)


def tensors_of(*networks):
    return outline_of({name: t for network in networks for name, t in network.state_dict().items()})


def explained(tensors, tmp_path):
    return explain(
        Contents(path=tmp_path / "a.pth", container="torch-zip", tensors=LazyTensors.in_memory(tensors))
    )


def first_and_last(tensors):
    """Of tensors whose names differ by numbers alone, two: the rest would only take time."""
    alike = {}
    for name in tensors:
        alike.setdefault(re.sub(r"\d+", "N", name), []).append(name)
    return {name for names in alike.values() for name in (names[0], names[-1])}


def unnamed(tensors, tmp_path, **options):
    """What was done to a tensor that the message does not name."""
    found = []
    chosen = first_and_last(tensors)
    for mutation in (each for each in mutations(tensors, **options) if each.name in chosen):
        try:
            explained(mutation.tensors, tmp_path)
        except CheckpointError as error:
            if mutation.named not in str(error):
                found.append((mutation.kind, mutation.name, str(error)))
        else:
            found.append((mutation.kind, mutation.name, "no error"))
    return found


def test_one_wrong_tensor_of_a_text_to_spec_model_is_named(tmp_path):
    rows = dict.fromkeys((SYMBOLS, SPEAKERS, LANGUAGES, STYLE_TOKENS), (0,))
    found = unnamed(tensors_of(FastSpeech2(TEXT_TO_SPEC)), tmp_path, free=rows)
    # Without its table of speakers it is a good model of one speaker: only the configuration tells.
    assert found == [("remove", SPEAKERS, "no error"), ("remove", LANGUAGES, "no error")]


@pytest.mark.parametrize("table", [SPEAKERS, LANGUAGES])
def test_a_missing_table_of_a_model_of_many_is_named(table):
    shapes = shapes_of(tensors_of(FastSpeech2(TEXT_TO_SPEC)))
    del shapes[table]
    model = {"multispeaker": True, "multilingual": True}
    for known in (asdict(TEXT_TO_SPEC), {"config": {"model": model}}):
        with pytest.raises(CheckpointError, match=table):
            FASTSPEECH2.config_from(shapes, known)


def test_one_wrong_tensor_of_a_vocoder_is_named(tmp_path):
    bands = {"conv_pre.parametrizations.weight.original1": (1,)}
    assert unnamed(tensors_of(Generator(VOCODER)), tmp_path, free=bands) == []


def test_one_wrong_tensor_of_discriminators_is_named(tmp_path):
    generator, judges = tensors_of(Generator(VOCODER)), tensors_of(Discriminators(JUDGES))
    chosen = first_and_last(judges)
    for mutation in (each for each in mutations(judges) if each.name in chosen):
        with pytest.raises(CheckpointError) as raised:
            explained(generator | mutation.tensors, tmp_path)
        assert mutation.named in str(raised.value)
