"""Each option that users of EveryVoice know, in each spelling, does what it says."""

import json
import shlex
from pathlib import Path

import pytest
import soundfile
import torch

from retimbre.models.load import load_model


def frames(ended):
    """Frames of the one spec that was written."""
    return torch.load(ended.out.strip(), weights_only=True).shape[1]


def written(ended, folder, endings):
    paths = [Path(line) for line in ended.out.splitlines()]
    assert {path.parts[0] for path in paths} == {folder}
    return all(path.is_file() and path.name.endswith(endings) for path in paths)


def rows(folder="checked_data"):
    return json.loads((Path(folder) / "checked-data.json").read_text(encoding="utf-8"))


SPEAK = "synthesize from-text {t2s} -t 'one two' -O spec"
CHECK = "check data {recipe} {t2s}"

# command, the option in every spelling, what is seen of it
OPTIONS = [
    # 1.2 preprocess
    (
        "preprocess text-to-spec {recipe}",
        ["-c data.preprocessed=other", "--config-args data.preprocessed=other"],
        lambda ended: ended.out.strip().endswith("other"),
    ),
    (
        "preprocess text-to-spec {recipe}",
        ["-C 0", "--cpus 0"],
        lambda ended: ended.code == 2 and "--cpus" in ended.err,
    ),
    (
        "preprocess text-to-spec {recipe} -C 1",
        ["-O", "--overwrite"],
        lambda ended: "Preparing" in ended.err and "8 / 8" in ended.err,
    ),
    (
        "preprocess text-to-spec {recipe} -C 1 -c data.held_out_fraction=0.3",
        ["-D", "--debug"],
        lambda ended: "only the first 10 utterances of each data set" in ended.err,
    ),
    (
        "preprocess text-to-spec {recipe}",
        ["-s attn", "--steps attn"],
        lambda ended: "attn: nothing to prepare" in ended.err and "Preparing" not in ended.err,
    ),
    (
        "preprocess spec-to-wav {vocoder_recipe}",
        ["-s loudness", "--steps loudness"],
        lambda ended: "there is no step 'loudness'" in ended.error,
    ),
    (
        "preprocess text-to-spec {recipe} -C 1",
        ["-S", "--stats"],
        lambda ended: ended.code == 0 and "Statistics" not in ended.err,
    ),
    ("preprocess text-to-spec {recipe} -C 1", ["--no-stats"], lambda ended: "Statistics" in ended.err),
    # 1.3 train
    (
        "train text-to-spec {recipe} --dry-run",
        ["-c training.steps=7", "--config-args training.steps=7"],
        lambda ended: "; 7 steps take" in ended.err,
    ),
    (
        "train spec-to-wav {vocoder_recipe} --dry-run",
        ["-a tpu", "--accelerator tpu"],
        lambda ended: "there is no device 'tpu'" in ended.error,
    ),
    ("train text-to-spec {recipe}", ["-d 4", "--devices 4"], lambda ended: "--devices 4" in ended.error),
    ("train text-to-spec {recipe}", ["-n 3", "--nodes 3"], lambda ended: "--nodes 3" in ended.error),
    (
        "train text-to-spec {recipe}",
        ["-s deepspeed", "--strategy deepspeed"],
        lambda ended: "--strategy deepspeed" in ended.error,
    ),
    # 1.4 synthesize from-text
    (
        SPEAK,
        ["-c text.cleaners=[]", "--config text.cleaners=[]"],
        lambda ended: "'text.cleaners' cannot be changed when a text is spoken" in ended.error,
    ),
    (SPEAK, ["-o here", "--output-dir here"], lambda ended: written(ended, "here", ".pt")),
    (
        "synthesize from-text {t2s} -O spec -f {list}",
        ["-t six", "--text six"],
        lambda ended: Path(ended.out.strip()).name.startswith("six--") and "those of --text" in ended.err,
    ),
    (SPEAK, ["-l deu", "--language deu"], lambda ended: "no language 'deu'" in ended.error),
    (SPEAK, ["-s eve", "--speaker eve"], lambda ended: "no speaker 'eve'" in ended.error),
    (
        SPEAK,
        ["-S {sound}", "--style-reference {sound}"],
        lambda ended: "this model has no style tokens" in ended.error,
    ),
    (SPEAK, ["-a tpu", "--accelerator tpu"], lambda ended: "there is no device 'tpu'" in ended.error),
    (SPEAK, ["-d 2", "--devices 2"], lambda ended: "one is used, not 2" in ended.err),
    (
        "synthesize from-text {t2s} -O spec",
        ["-f {list}", "--filelist {list}"],
        lambda ended: len(ended.out.splitlines()) == 2,
    ),
    (
        SPEAK,
        ["--text-representation arpabet"],
        lambda ended: "found arpabet" in ended.error,
    ),
    *(
        (
            "synthesize from-text {t2s} -t six -v {voc}",
            [f"-O {kind}", f"--output-type {kind}"],
            lambda ended, ending=ending: written(ended, "synthesis_output", ending),
        )
        for kind, ending in (
            ("wav", ".wav"),
            ("spec", ".pt"),
            ("textgrid", ".TextGrid"),
            ("readalong-xml", ".readalong"),
            ("readalong-html", (".html", ".wav")),
        )
    ),
    (
        "synthesize from-text {t2s} -O spec -f {prepared}/training_filelist.psv -o forced",
        [
            f"{name} {{prepared}}"
            for name in ("-T", "--teacher-forcing-directory", "--teacher-forcing-folder")
        ],
        lambda ended: written(ended, "forced", ".pt") and "Produced specs" in ended.err,
    ),
    (
        "synthesize from-text {t2s} -t six",
        ["-v {voc}", "--vocoder-path {voc}"],
        lambda ended: written(ended, "synthesis_output", ".wav"),
    ),
    (SPEAK, ["-b 0", "--batch-size 0"], lambda e: e.code == 2 and "--batch-size" in e.err),
    # 1.5 synthesize from-spec
    (
        "synthesize from-spec -m {voc}",
        ["-i {spec}", "--input {spec}"],
        lambda ended: soundfile.info(ended.out.strip()).frames == 90 * 256,
    ),
    (
        "synthesize from-spec -i {spec}",
        ["-m {voc}", "--model {voc}"],
        lambda ended: soundfile.info(ended.out.strip()).frames == 90 * 256,
    ),
    (
        "synthesize from-spec -i {turned} -m {voc}",
        ["--time-oriented"],
        lambda ended: soundfile.info(ended.out.strip()).frames == 90 * 256,
    ),
    (
        "synthesize from-spec -i {turned} -m {voc}",
        ["--no-time-oriented"],
        lambda ended: ended.code == 1 and "80" in ended.error,
    ),
    # 1.7 export
    (
        "export spec-to-wav {voc}",
        [""],
        lambda ended: load_model(Path("exported.ckpt")).description.is_exported,
    ),
    (
        "export spec-to-wav {voc}",
        ["-o small.ckpt", "--output small.ckpt"],
        lambda ended: load_model(Path("small.ckpt")).description.is_exported,
    ),
    # 1.10 check
    (CHECK, ["-o here", "--output-dir here"], lambda ended: len(rows("here")) == 8),
    (CHECK, ["-S {sound}", "--style-reference {sound}"], lambda ended: len(rows()) == 8),
    (CHECK, ["-a cpu", "--accelerator cpu"], lambda ended: len(rows()) == 8),
    (CHECK, ["-d 2", "--devices 2"], lambda ended: "--devices 2" in ended.error),
    (CHECK, ["-f {list}", "--filelist {list}"], lambda ended: len(rows()) == 2),
    (CHECK, ["--text-representation characters"], lambda ended: len(rows()) == 8),
    (
        CHECK,
        ["-p {prepared}", "--preprocessed-directory {prepared}"],
        lambda ended: len(Path("checked_data/scores-7.psv").read_text().splitlines()) == 9,
    ),
    (CHECK, ["-n 1", "--num-workers 1"], lambda ended: len(rows()) == 8),
    (CHECK, ["--calculate-stats"], lambda ended: "pitch_mean" in rows()[0]),
    (CHECK, ["--no-calculate-stats"], lambda ended: "pitch_mean" not in rows()[0]),
    (CHECK, ["--objective-evaluation"], lambda ended: "are not rated by a network here" in ended.err),
    (CHECK, ["--no-objective-evaluation"], lambda ended: "rated" not in ended.err),
    (CHECK, ["--clip-detection", "--no-clip-detection"], lambda ended: rows()[0]["clipped_share"] == 0),
    *(
        (
            f"check text-config {where}",
            [f"{what} -l eng", f"{what} --language eng"],
            lambda ended: ended.code == 0 and "'x'" in ended.out,
        )
        for where in ("-c {text}", "--config {text}")
        for what in ("--text-file {words}", "--psv-file {list}")
    ),
    *(
        (
            "check text-config --text-file {words}",
            [f"{name} {{t2s}}" for name in ("-m", "--model")],
            lambda ended: "'€': 1" in ended.out,
        ),
    ),
    # 1.11 checkpoint
    ("checkpoint inspect {voc} -A", ["-c", "--show-config"], lambda e: "\nConfig\n" in e.out),
    ("checkpoint inspect {voc}", ["-C", "--no-show-config"], lambda e: "\nConfig\n" not in e.out),
    ("checkpoint inspect {voc} -C", ["-a", "--show-architecture"], lambda e: "\nArchitecture\n" in e.out),
    ("checkpoint inspect {voc}", ["-A", "--no-show-architecture"], lambda e: "\nArchitecture\n" not in e.out),
    (
        "checkpoint rename-speaker {t2s} default",
        ["Anna"],
        lambda ended: load_model(Path(ended.out.strip())).description.speakers == ("Anna",),
    ),
    # 1.13 g2p
    ("g2p eng", ["{words}"], lambda ended: ended.out.startswith("['")),
    ("g2p eng {words}", ["--config {text}"], lambda ended: ended.out.startswith("['")),
]
CASES = [
    pytest.param(f"{command} {option}", seen, id=f"{command} {option}".replace("{", "").replace("}", ""))
    for command, options, seen in OPTIONS
    for option in options
]


@pytest.fixture
def files(project, tmp_path):
    """Every file that the lines name; the current folder is empty."""
    spec = torch.randn(80, 90) - 5
    torch.save(spec, tmp_path / "spec.pt")
    torch.save(spec.T.contiguous(), tmp_path / "turned.pt")
    (tmp_path / "list.psv").write_text("basename|characters\nu3|six x\nu7|twelve!\n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("six xenon €\n", encoding="utf-8")
    (tmp_path / "text.yaml").write_text("symbols:\n  lj_characters: [s, i, e, n, o]\n", encoding="utf-8")
    names = {"spec": "spec.pt", "turned": "turned.pt", "list": "list.psv", "words": "words.txt"}
    return {
        "recipe": project.tuning,
        "vocoder_recipe": project.matching,
        "t2s": project.text_to_spec,
        "voc": project.vocoder,
        "prepared": project.preprocessed,
        "sound": project.recordings / "u0.wav",
        "text": tmp_path / "text.yaml",
        **{name: tmp_path / file for name, file in names.items()},
    }


@pytest.mark.parametrize(("line", "seen"), CASES)
def test_an_option_does_what_it_says(retimbre, files, line, seen):
    ended = retimbre(*(word.format(**files) for word in shlex.split(line)))
    assert seen(ended), (ended.out, ended.err)


@pytest.mark.parametrize(
    ("option", "times"),
    [
        *(("-D 2.5", 2.5), ("--duration-control 2.5", 2.5), ("-n 2", 1), ("--num-workers 2", 1)),
        *(("--text-representation characters", 1), ("-b 3", 1), ("--batch-size 3", 1)),
    ],
)
def test_an_option_makes_a_text_so_much_longer(retimbre, files, option, times):
    words = [word.format(**files) for word in shlex.split(SPEAK)]
    usual = frames(retimbre(*words, "-o", "usual"))
    found = frames(retimbre(*words, *option.split()))
    assert found == usual if times == 1 else found == pytest.approx(times * usual, rel=0.2)


@pytest.mark.parametrize("name", ["-c", "--config", "--config-args"])
def test_a_long_text_is_one_piece_where_splitting_is_off(retimbre, files, name):
    text = "one two three four. " * 12
    words = ("synthesize", "from-text", files["t2s"], "-t", text, "-O", "textgrid", name)
    grids = {
        value: Path(retimbre(*words, f"text.split_text={value}", "-o", value).out.strip()).read_text()
        for value in ("True", "False")
    }
    assert grids["True"] != grids["False"]
