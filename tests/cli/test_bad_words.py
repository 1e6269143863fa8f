"""Bad words on the command line, bad recipes, and specs that are none: one clear line each, exit code 1."""

import pytest
import torch

# Words after `train text-to-spec RECIPE`, and what the one line must name.
BAD_WORDS = {
    "an unknown key": (["-c", "training.stepz=3"], ["training.stepz", "Write 'steps: 3'"]),
    "an unknown section": (["-c", "trainin.steps=3"], ["trainin"]),
    "a value of another kind": (["-c", "training.steps=many"], ["training.steps", "integer", "'many'"]),
    "a value out of range": (["-c", "training.batch_size=0"], ["training.batch_size", "greater than 0"]),
    "no value": (["-c", "training.steps"], ["key=value", "-c training.steps=2000"]),
    "a section where a value is": (["-c", "name.x=3"], ["'name' holds a value"]),
    "a held-out name that is not there": (["-c", "data.held_out=[u9]"], ["'u9'"]),
    "everything held out": (["-c", "data.held_out=[u0,u1,u2,u3,u4,u5,u6,u7]"], ["cannot be split"]),
    "a device that is not there": (["-a", "quantum"], ["'quantum'", "cpu"]),
    "a run to resume that is not there": (["--resume"], ["no run to resume", "without --resume"]),
    "a base that is not there": (["-c", "base=nix.ckpt"], ["nix.ckpt does not exist", "--base FILE"]),
    "a base that is a folder": (["-c", "base=recordings"], ["recordings", "--base FILE"]),
    "a name with a way out": (["-c", "name=../out"], ["'name' is wrong"]),
    "two things at once": (["--dry-run", "--match-with", "{text_to_spec}"], ["--dry-run", "--match-with"]),
    "something frozen that is not there": (["-c", "training.frozen=[nix]"], ["training.frozen", "'nix'"]),
}


@pytest.mark.parametrize("what", BAD_WORDS)
def test_bad_words_are_named_and_nothing_is_touched(project, retimbre, what):
    words, named = BAD_WORDS[what]
    words = [word.format(text_to_spec=project.text_to_spec) for word in words]
    before = project.files(but=("preprocessed/",) if "frozen" in what else ())

    error = retimbre("train", "text-to-spec", project.tuning, *words).error

    for expected in named:
        assert expected in error
    assert project.files(but=("preprocessed/",) if "frozen" in what else ()) == before


# What stands in the recipe, and what the one line must name.
BAD_RECIPES = {
    "an unknown key": (
        b"stage: text-to-spec\ndata: {recordings: a, filelist: b}\nbatch: 3\n",
        ["line 3", "unknown key 'batch'"],
    ),
    "a missing key": (b"stage: text-to-spec\n", ["'data' is missing"]),
    "no YAML": (b"stage: [\n  x", ["line 2", "not readable as YAML"]),
    "no text": (b"\xff\xfe\x00", ["not readable as YAML"]),
    "a list": (b"- a\n- b\n", ["is not a recipe", "a mapping of keys", "list"]),
    "nothing": (b"", ["is not a recipe"]),
    "code": (b"stage: !!python/object/apply:os.system ['touch owned']\n", ["line 1", "os.system"]),
}


@pytest.mark.parametrize("what", BAD_RECIPES)
def test_a_bad_recipe_is_named_with_its_line_and_nothing_is_touched(project, retimbre, what, tmp_path):
    content, named = BAD_RECIPES[what]
    project.tuning.write_bytes(content)
    before = project.files()

    error = retimbre("train", "text-to-spec", project.tuning).error

    assert str(project.tuning) in error
    for expected in named:
        assert expected in error
    assert project.files() == before
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize(
    ("stage", "word"),
    [
        ("text-to-spec", "text_to_spec.dim=7"),
        ("spec-to-wav", "spec_to_wav.upsample_rates=[7,3]"),
        ("text-to-spec", "spectrogram.sample_rate_hz=4000"),
    ],
)
def test_sizes_that_contradict_each_other_are_named(project, retimbre, stage, word):
    recipe = project.tuning if stage == "text-to-spec" else project.matching

    error = retimbre("train", stage, project.changed(recipe, base=None), "-c", word).error

    assert word.split("=")[1].strip("[]").split(",")[0] in error


@pytest.mark.parametrize("place", ["recordings", "nix.yaml"])
def test_a_recipe_that_is_no_file_is_named(project, retimbre, place):
    error = retimbre("train", "text-to-spec", project.root / place).error

    assert f"there is no recipe {project.root / place}" in error


def test_a_recipe_of_another_stage_is_named(project, retimbre):
    error = retimbre("train", "spec-to-wav", project.tuning).error
    assert "expected stage: spec-to-wav, found stage: text-to-spec" in error

    error = retimbre("train", "spec2wav", project.tuning).error
    assert "there is no stage 'spec2wav'" in error


def test_another_recipe_cannot_be_resumed_into_a_run_nor_started_over_it(project, retimbre):
    assert retimbre("train", "text-to-spec", project.tuning).code == 0
    before = project.files(but=("preprocessed/",))

    assert (
        "training.seed"
        in retimbre("train", "text-to-spec", project.tuning, "--resume", "-c", "training.seed=3").error
    )
    assert "-c name=tune-2" in retimbre("train", "text-to-spec", project.tuning).error
    assert project.files(but=("preprocessed/",)) == before


# Words after `synthesize from-text CHECKPOINT`, and what the one line must name.
BAD_SPEECH = {
    "nothing to say": (["-O", "spec"], ["nothing to speak", "--filelist FILE"]),
    "sound without a vocoder": (["-t", "one"], ["--vocoder-path FILE"]),
    "an unknown output": (["-t", "one", "-O", "npy"], ["'npy'", "wav or spec"]),
    "an unknown speaker": (["-t", "one", "-O", "spec", "-s", "bob"], ["no speaker 'bob'", "default"]),
    "an unknown language": (["-t", "one", "-O", "spec", "-l", "tlh"], ["no language 'tlh'"]),
    "a device that is not there": (["-t", "one", "-O", "spec", "-a", "gpu9"], ["'gpu9'", "cpu"]),
    "texts that are not prepared": (
        ["-t", "one", "-O", "spec", "-T", "{preprocessed}"],
        ["1 of 1 utterances are not prepared", "filelist.psv"],
    ),
    "a folder that is not prepared": (
        ["-f", "{filelist}", "-O", "spec", "-T", "{recordings}"],
        ["8 of 8 utterances are not prepared", "retimbre preprocess"],
    ),
}


@pytest.mark.parametrize("what", BAD_SPEECH)
def test_speech_that_cannot_be_made_is_named_and_nothing_is_written(project, retimbre, what, tmp_path):
    words, named = BAD_SPEECH[what]
    places = {
        "preprocessed": project.preprocessed,
        "filelist": project.filelist,
        "recordings": project.recordings,
    }
    before = project.files()

    error = retimbre(
        "synthesize", "from-text", project.text_to_spec, *(word.format(**places) for word in words)
    ).error

    for expected in named:
        assert expected in error
    assert project.files() == before
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(("content", "named"), [(b"\xff\xfea", "not UTF-8"), (b"\n \n", "lists nothing")])
def test_a_list_of_texts_that_cannot_be_read_is_named(project, retimbre, tmp_path, content, named):
    texts = tmp_path / "texts.txt"
    texts.write_bytes(content)

    error = retimbre("synthesize", "from-text", project.text_to_spec, "-O", "spec", "-f", texts).error

    assert f"{texts} " in error
    assert named in error


def spec_file(content):
    return lambda path: torch.save(content, path)


# What is stored as a spec, and what the one line must name.
BAD_SPECS = {
    "other bands": (spec_file(torch.randn(70, 20)), ["80 bands × frames", "70 × 20"]),
    "no frames": (spec_file(torch.randn(80, 0)), ["80 × 0"]),
    "one number": (spec_file(torch.tensor(3.0)), ["one number"]),
    "several tensors": (
        spec_file({"a": torch.randn(80, 20), "b": torch.randn(80, 20)}),
        ["no single tensor"],
    ),
    "not a number": (spec_file(torch.full((80, 20), torch.nan)), ["NaN or infinite"]),
    "text": (lambda path: path.write_text("a,b\n"), ["holds no weights"]),
}


@pytest.mark.parametrize("what", BAD_SPECS)
def test_a_file_that_holds_no_spec_is_named(project, retimbre, tmp_path, what):
    write, named = BAD_SPECS[what]
    spec = tmp_path / "a.pt"
    write(spec)

    error = retimbre("synthesize", "from-spec", "-i", spec, "-m", project.vocoder).error

    assert str(spec) in error
    for expected in named:
        assert expected in error
    assert not list((tmp_path / "here").iterdir())


def test_words_that_the_command_line_does_not_know_are_usage_errors(project, retimbre):
    for words in (
        ("train", "text-to-spec"),
        ("train", "text-to-spec", project.tuning, "--stepz", "3"),
        ("train", "text-to-spec", project.tuning, "--base", project.root / "nix.ckpt"),
        ("match", project.matching, "--spec-model", project.recordings),
        ("sing",),
    ):
        ended = retimbre(*words)
        assert ended.code == 2
        assert "Traceback" not in ended.err
