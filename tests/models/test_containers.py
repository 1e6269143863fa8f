"""Every file of ../shared/parity/containers is reported as its maker says, from path to Report."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from retimbre.errors import CheckpointError
from retimbre.models.identify import identify
from retimbre.models.tortoise_ar.variants import known_variant, kwargs_of

CONTAINERS = Path(__file__).resolve().parents[3] / "shared" / "parity" / "containers"  # may not be there
ENTRIES = {
    f"{listed.parent.name}/{name}": entry
    for listed in sorted(CONTAINERS.glob("*/expected.json"))
    for name, entry in json.loads(listed.read_text())["files"].items()
}
FAMILIES = {  # the maker's word -> our family
    "tortoise-ar": "tortoise_ar",
    "tortoise-diffusion": "tortoise_diffusion",
    "tortoise-clvp": "tortoise_clvp",
    "tortoise-cvvp": "tortoise_cvvp",
    "tortoise-random-latent": "tortoise_random_latent",
    "tortoise-hifigan-decoder": "tortoise_hifigan",
    "univnet": "univnet",
    "dvae": "tortoise_dvae",
    "hifigan-generator": "hifigan",
}
KINDS = {  # no model of a family, but known for what it is
    "xtts-v2": "xtts-v2",
    "xtts-v2-gpt": "xtts-v2-gpt",
    "xtts-speakers": "xtts-speakers",
    "xtts-mel-stats": "mel-norms",
    "tortoise-mel-norms": "mel-norms",
    "tortoise-voice": "tortoise-voice",
    "dlas-training-state": "dlas-training-state",
    "hifigan-discriminators-and-optimizers": "hifigan-discriminators",
    "lightning": "lightning",
}
NOBODYS = ("plain", "safetensors-index")  # tensors of no model
NO_CHECKPOINTS = ("hifigan-config", "xtts-config")
REFUSED = ("awkward_numpy1/whole_module.pt", "awkward_numpy2/whole_module.pt")

SIZES = {  # what tensors tell, where the original tool has no argument of that name
    "text_rows": lambda report: report.config.n_symbols,
    "max_mel_tokens_plus_max_conditioning_inputs": lambda report: (
        report.reference_kwargs["max_mel_tokens"] + report.reference_kwargs["max_conditioning_inputs"]
    ),
    "n_positions": lambda report: report.config.n_symbol_positions + report.config.n_code_positions,
    "use_mel_codes_as_input": lambda report: report.family == "tortoise_ar",  # any other is refused
    "train_solo_embeddings": lambda report: report.config.has_solo_embeddings,
    "latent_multiplier": lambda report: report.reference_kwargs["latent_multiplier"],
    "dilations_count": lambda report: len(report.reference_kwargs["dilations"]),
    "stack_count": lambda report: len(report.reference_kwargs["strides"]),
    "strides_from_kernel": lambda report: report.reference_kwargs["strides"],
    "num_mels": lambda report: report.config.n_mels,
    "weight_norm": lambda report: any(
        "weight norm, as torch 2 names it" in each.why for each in report.entries
    ),
}


def files_of(*families):
    return [file for file, entry in ENTRIES.items() if entry["family"] in families and file not in REFUSED]


MODELS = files_of(*FAMILIES)
each_model = pytest.mark.parametrize("file", MODELS)


@pytest.fixture(scope="module")
def report(request):
    """The report on a file, made once."""
    made = {}

    def on(file):
        if file not in made:
            made[file] = identify(CONTAINERS / file)
        return made[file]

    return on


def assumed_in(report):
    return {each.name: each.value for each in report.assumed}


def rules_of(file):
    """Name -> what its maker says of it, where that is a value that a rule gives."""
    return {name: rule for name, rule in ENTRIES[file].get("assumed", {}).items() if isinstance(rule, dict)}


def its_program(entry):
    """Which definition of the network the file's maker built: the class is in a module of that name."""
    named = entry["cls"].split(".")[-2]
    return named if named.startswith("unified_voice") else "tortoise"


def kwargs_in(report, entry):
    """In the words of the program that the maker built it with; where no name tells which, of either."""
    if report.family != "tortoise_ar":
        return report.reference_kwargs
    assert report.reference_kwargs == kwargs_of(report.config, report.variant)
    if entry["variant"] == report.variant == "tortoise / unified_voice2":
        return kwargs_of(report.config, its_program(entry))
    return report.reference_kwargs


def test_every_file_has_a_claim_here(parity):
    assert parity("containers") == CONTAINERS.resolve()
    assert len(ENTRIES) == 79
    words = {entry["family"] for entry in ENTRIES.values()}
    assert words == {*FAMILIES, *KINDS, *NOBODYS, *NO_CHECKPOINTS}


@each_model
def test_a_model_is_of_its_family(report, file):
    found, entry = report(file), ENTRIES[file]
    assert found.family == FAMILIES[entry["family"]]
    assert found.problem is found.recognised is found.kind is None
    if "variant" in entry:
        assert found.variant == entry["variant"]
        assert known_variant(found.variant) in (its_program(entry), "tortoise")


@pytest.mark.parametrize("file", files_of(*KINDS))
def test_what_is_no_model_of_a_family_is_called_what_it_is(report, file):
    found, entry = report(file), ENTRIES[file]
    assert found.family is found.problem is None
    assert found.kind == KINDS[entry["family"]]
    assert f"Known          {found.recognised}" in found.to_text()
    training = entry.get("training", {})
    assert found.step == training.get("step", training.get("steps", training.get("iter", found.step)))
    assert found.sizes.get("epoch") == training.get("epoch", found.sizes.get("epoch"))


@pytest.mark.parametrize("file", files_of(*NOBODYS))
def test_tensors_of_no_model_are_said_to_be_unknown(report, file):
    found = report(file)
    assert found.family is found.kind is found.recognised is None
    assert found.problem.startswith(("no family fits these", "there are no weights in it"))
    assert "\n" not in found.problem


@pytest.mark.parametrize("file", [*files_of(*NO_CHECKPOINTS), *(file for file in REFUSED if file in ENTRIES)])
def test_what_holds_no_weights_is_refused_in_one_plain_line(file):
    with pytest.raises(
        CheckpointError, match="holds (no weights|a whole network object, not its weights)"
    ) as raised:
        identify(CONTAINERS / file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", files_of(*FAMILIES, *KINDS, *NOBODYS))
def test_a_report_has_the_hash_the_format_and_the_place_of_the_weights(report, file):
    found, entry = report(file), ENTRIES[file]
    if "sha256" in entry["container"]:
        assert found.sha256 == entry["container"]["sha256"]
        assert found.n_bytes == entry["container"]["bytes"]
    if entry["container"]["format"] != "json":
        assert found.container == entry["container"]["format"]
    if "weights_at" in entry:
        assert found.weights_at == entry["weights_at"]
    assert json.loads(found.to_json())["sha256"] == found.sha256


@each_model
def test_what_tensors_tell_is_told(report, file):
    found, entry = report(file), ENTRIES[file]
    for name, value in entry.get("derived", {}).items():
        told = SIZES[name](found) if name in SIZES else found.reference_kwargs[name]
        assert told == value, name
        assert name not in assumed_in(found) or name in rules_of(file), name


@each_model
def test_what_a_rule_gives_is_marked_as_assumed(report, file, tmp_path):
    """A config.json beside the file decides; alone, it is as all others."""
    found = report(file)
    if ENTRIES[file]["family"] == "hifigan-generator":
        alone = tmp_path / "g_00000100"
        alone.write_bytes((CONTAINERS / file).read_bytes())
        assert not rules_of(file).keys() & assumed_in(found).keys()
        found = identify(alone)
    assumed = assumed_in(found)
    for name, rule in rules_of(file).items():
        assert name in assumed
        if rule.get("gives") is not None:
            assert assumed[name] == rule["gives"], name
        if rule["right"]:
            right = ENTRIES[file].get("kwargs", ENTRIES[file].get("config", {}))
            assert assumed[name] == right.get(name, rule.get("gives")), name
    assert all(each.because and each.can_be_stated for each in found.assumed if each.name in rules_of(file))


@each_model
def test_with_what_is_true_stated_its_maker_would_build_it_from_our_words(report, file):
    found, entry = report(file), ENTRIES[file]
    wrong = {name: rule["true"] for name, rule in rules_of(file).items() if not rule["right"]}
    wrong |= {"types": entry["kwargs"]["types"]} if entry.get("kwargs", {}).get("types", 1) > 1 else {}
    stated = identify(CONTAINERS / file, assume=wrong) if wrong else found
    assert assumed_in(found).keys() - assumed_in(stated).keys() == wrong.keys()
    kwargs = kwargs_in(stated, entry)
    true = entry.get("kwargs", entry.get("config"))
    kwargs, true = ({**each, "checkpointing": None} for each in (kwargs, true))  # no tensor tells it
    assert {name: kwargs[name] for name in true} == true
    if wrong:
        assert {**kwargs_in(found, entry), "checkpointing": None} != kwargs
    if report(file).family not in ("hifigan", "tortoise_dvae"):  # these have defaults that nobody wrote down
        assert kwargs.keys() == true.keys()


@each_model
def test_just_those_tensors_are_dropped_that_nobody_uses(report, file):
    found, entry = report(file), ENTRIES[file]
    at = f"{entry['weights_at']}/" if entry["weights_at"] else ""
    names = [name.removeprefix(at) for name in entry["tensors"]]
    patterned = {name for name in names for pattern in entry["drop"] if fnmatchcase(name, pattern)}
    assert set(found.dropped) == set(entry.get("drop_names", patterned))
    assert all(found.dropped.values())


@each_model
def test_what_is_not_known_of_a_model_is_said(report, file):
    unknowable = report(file).unknowable
    for phrase in ENTRIES[file].get("unknowable", ()):
        word = {
            "decay and epsilon of the codebook average": "decay and epsilon",
            "mel settings": "the spectrogram",
        }
        assert any(ours.startswith(word.get(phrase, phrase)) for ours in unknowable), phrase


@pytest.mark.parametrize("file", [file for file in MODELS if "prefix" in ENTRIES[file]])
def test_a_prefix_is_reported_with_every_name(report, file):
    found, prefix = report(file), ENTRIES[file]["prefix"]
    moved = [each for each in found.entries if each.fate != "dropped"]
    assert moved
    assert all(each.fate == "renamed" and "prefix" in each.why for each in moved)
    assert all(each.name == prefix + each.ours for each in moved)


@pytest.mark.parametrize("file", [file for file in MODELS if "stable_embedding" in ENTRIES[file]])
def test_norms_of_tables_are_reported_as_folded(report, file):
    folded = {each.name for each in report(file).entries if "folded" in each.why}
    norms = set(ENTRIES[file]["stable_embedding_norms"])
    assert norms < folded
    assert {
        name.replace("norm.weight", "weight").replace("norm.bias", "weight") for name in norms
    } == folded - norms


@each_model
def test_every_tensor_has_a_fate(report, file):
    found, entry = report(file), ENTRIES[file]
    at = f"{entry['weights_at']}/" if entry["weights_at"] else ""
    inside = {name.removeprefix(at) for name in entry["tensors"] if name.startswith(at)}
    others = sum(not name.startswith(at) for name in entry["tensors"])
    assert {each.name for each in found.entries if each.fate != "new"} == inside
    assert sum(found.carries.values()) == others


def test_a_step_in_the_name_of_a_file_is_the_step_of_its_training(report):
    steps = {file: report(file).step for file in MODELS}
    for file, step in steps.items():
        name = file.split("/")[1]
        assert step == (500 if name.startswith("500_") else 100 if name.endswith("_00000100") else 0), file
