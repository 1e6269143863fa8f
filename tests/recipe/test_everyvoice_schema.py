"""Every key of every version is known, and goes somewhere or says why not."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from retimbre.recipe.everyvoice_schema import SpecToWav, TextToSpec
from retimbre.recipe.mistakes import known_words, section_in
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import Recipe

KEYS = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "everyvoice_keys.json").read_text(encoding="utf-8")
)
SECTIONS = {"shared-data": "preprocessing.", "shared-text": "text.", "text-to-spec": "", "spec-to-wav": ""}
VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")


def keys_of(kind, version):
    """Every key of a file with its default, in a version: a JSON schema's, or None."""
    keys = {}
    for one in VERSIONS[: VERSIONS.index(version) + 1]:
        for key in KEYS[kind][one]["removed"]:
            del keys[key]
        keys |= KEYS[kind][one]["added"]
    return keys


def as_file(kinds, version):
    """The configuration with every key written out, all with their defaults."""
    raw = {}
    for kind in kinds:
        for key, value in keys_of(kind, version).items():
            *parents, last = f"{SECTIONS[kind]}{key}".split(".")
            inside = raw
            for name in parents:
                inside = inside.setdefault(name, {})
            if value is not None or key.startswith("path_to_"):
                inside[last] = value
    raw["contact"] = {"contact_name": "A Name", "contact_email": "a@b.org"}
    source = raw["preprocessing"]["source_data"]["0"]
    raw["preprocessing"]["source_data"] = [source | {"permissions_obtained": True}]
    return raw


def fields(model, prefix=""):
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", field
        if section := section_in(field.annotation):
            yield from fields(section, f"{prefix}{name}.")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("stage", ["text-to-spec", "spec-to-wav"])
def test_a_file_with_every_key_of_its_version_is_a_recipe(tmp_path, version, stage):
    kinds = ["shared-data", stage] + (["shared-text"] if stage == "text-to-spec" else [])
    path = tmp_path / f"everyvoice-{stage}.yaml"
    path.write_text(yaml.safe_dump(as_file(kinds, version), allow_unicode=True), encoding="utf-8")
    recipe = read_recipe(path)

    assert recipe.stage == stage
    assert recipe.training.batch_size == 16
    assert ("<BB>" in recipe.text.symbols) == (stage == "text-to-spec" and version in ("0.1", "0.2"))


@pytest.mark.parametrize("stage", ["text-to-spec", "spec-to-wav"])
def test_a_key_that_is_left_out_has_everyvoices_default(tmp_path, stage):
    """A file with every default written out, and one with nothing that need not be written, say the same."""
    kinds = ["shared-data", stage] + (["shared-text"] if stage == "text-to-spec" else [])
    whole = as_file(kinds, "0.5")
    whole["training"].pop("optimizer")  # text-to-spec's defaults are not those of its class
    short = {name: whole[name] for name in ("contact", "VERSION")}
    source = whole["preprocessing"]["source_data"][0]
    names = ("permissions_obtained", "data_dir", "filelist")
    short["preprocessing"] = {"source_data": [{name: source[name] for name in names}]}
    recipes = []
    for raw in (whole, short):
        path = tmp_path / f"everyvoice-{stage}.yaml"
        path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
        recipes.append(read_recipe(path))

    assert recipes[0] == recipes[1]


@pytest.mark.parametrize(
    "names", [("fft_window_size", "fft_window_frames"), ("fft_hop_size", "fft_hop_frames")]
)
def test_names_of_2023_are_understood(tmp_path, names):
    raw = as_file(["shared-data", "text-to-spec"], "0.1")
    audio = raw["preprocessing"]["audio"]
    audio[names[1]] = audio.pop(names[0]) // 2
    audio["alignment_bit_depth"] = 16
    path = tmp_path / "everyvoice-text-to-spec.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    spectrogram = read_recipe(path).spectrogram

    assert (spectrogram.window_samples, spectrogram.hop_samples) in [(512, 256), (1024, 128)]


@pytest.mark.parametrize("model", [TextToSpec, SpecToWav])
def test_every_field_says_where_its_value_goes_or_why_it_goes_nowhere(model):
    for name, field in fields(model):
        assert field.description, name
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("unused"):
            assert " " in field.description, name
            continue
        *parents, last = field.description.split(".")
        assert last in known_words(Recipe, parents), f"{name} -> {field.description}"


def test_no_field_takes_a_word_that_is_not_known():
    for model in (TextToSpec, SpecToWav):
        for name, field in fields(model):
            section = section_in(field.annotation)
            if section is not None and issubclass(section, BaseModel):
                allowed = "allow" if name.endswith("symbols") else "forbid"
                assert section.model_config["extra"] == allowed, name
