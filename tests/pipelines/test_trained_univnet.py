"""A UnivNet that was trained here becomes TorToiSe's `vocoder.pth` and is read back, also by tortoise-tts."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from building.tortoise_itself import ask_tortoise, needs_tortoise
from building.univnets import CONFIG, tiny_univnet_job
from retimbre.checkpoint.read import read
from retimbre.models.load import load_model
from retimbre.models.univnet import UNIVNET
from retimbre.pipelines.convert import Wish, convert
from retimbre.recipe.training import Optimiser, Training
from retimbre.training.batching import Key
from retimbre.training.fabric import make_fabric
from retimbre.training.loop import train_steps
from retimbre.training.objective import Progress
from retimbre.training.run import _ready

TORTOISE = """
import json, sys, torch
from safetensors.torch import load_file, save_file
from tortoise.models.vocoder import UnivNetGenerator

model, given = UnivNetGenerator(**json.loads(sys.argv[1])), load_file(sys.argv[3])
model.load_state_dict(torch.load(sys.argv[2], weights_only=True)["model_g"], strict=True)
found = {"trained": model(given["spec"], given["noise"])}
model.eval(inference=True)
found["folded"] = model(given["spec"], given["noise"])
save_file({name: wave.detach() for name, wave in found.items()}, sys.argv[4])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file that a run of a few steps keeps, and the network that it keeps."""
    chosen = Training(
        steps=3, batch_size=2, segment_frames=8, optimiser=Optimiser(learning_rate=0.01, betas=(0.5, 0.9))
    )
    job = tiny_univnet_job(chosen)
    batch = job.collate([job.dataset[Key(0, 0)], job.dataset[Key(1, 0)]])
    fabric = make_fabric(precision="32-true", accelerator="cpu")
    before = job.objective.generator.conv_pre.parametrizations.weight.original0.detach().clone()
    train_steps(
        fabric,
        job.objective,
        _ready(fabric, job, chosen),
        [batch] * 3,
        Progress(),
        chosen,
        after_step=lambda progress, logged: progress,
    )
    generator = job.objective.generator.eval()
    assert not before.equal(generator.conv_pre.parametrizations.weight.original0)  # lengths learn, too
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    job.keep(path, 3)
    return path, generator


def heard():
    draw = torch.Generator().manual_seed(8)
    return {
        "spec": torch.randn(2, CONFIG.n_mels, 9, generator=draw) - 5,
        "noise": torch.randn(2, CONFIG.noise_dim, 9, generator=draw),
    }


@pytest.mark.parametrize("weight_norm", [None, "folded"])
def test_a_trained_vocoder_comes_back_from_tortoises_format(trained, tmp_path, weight_norm):
    path, generator = trained

    convert(path, tmp_path / "vocoder.pth", Wish(to="tortoise", weight_norm=weight_norm))
    again = load_model(tmp_path / "vocoder.pth", assume={"dilations": list(CONFIG.dilations)})

    contents = read(tmp_path / "vocoder.pth")
    assert contents.weights_at == "model_g"
    is_split = "conv_pre.weight_g" in contents.tensors
    assert is_split == (weight_norm is None)
    assert again.discriminators == {}
    if is_split:
        kept = generator.state_dict()
        assert all(tensor.equal(kept[name]) for name, tensor in again.model.state_dict().items())
    torch.testing.assert_close(again.model(**heard()), generator(**heard()), rtol=1e-4, atol=1e-6)


def test_discriminators_stay_unless_only_the_generator_is_asked_for(trained, tmp_path):
    path, _ = trained

    convert(path, tmp_path / "whole.safetensors", Wish(to="retimbre"))
    convert(path, tmp_path / "alone.safetensors", Wish(to="retimbre", generator_only=True))

    kept, alone = (load_model(tmp_path / f"{name}.safetensors") for name in ("whole", "alone"))
    assert kept.discriminators.keys() == load_model(path).discriminators.keys() != set()
    assert alone.discriminators == {}
    assert alone.model(**heard()).equal(kept.model(**heard()))


@pytest.mark.slow
@needs_tortoise
def test_tortoise_loads_a_trained_vocoder_strictly_and_makes_the_same_sound(trained, tmp_path):
    path, generator = trained
    convert(path, tmp_path / "vocoder.pth", Wish(to="tortoise"))
    save_file(heard(), tmp_path / "heard.safetensors")
    kwargs = json.dumps(UNIVNET.reference_kwargs(CONFIG))

    files = [tmp_path / name for name in ("vocoder.pth", "heard.safetensors", "made.safetensors")]
    ask_tortoise(TORTOISE, kwargs, *files)

    for wave in load_file(tmp_path / "made.safetensors").values():
        torch.testing.assert_close(wave, generator(**heard()), rtol=0, atol=5e-5)
