"""Every command line that users of EveryVoice know is understood with `retimbre` instead of `everyvoice`."""

import re
import shlex
import subprocess
import sys

import pytest
from typer.main import get_command

from retimbre.cli.main import app

# What users of EveryVoice 0.5.0 type after `everyvoice`, with every option in both spellings.
LINES = """
preprocess text-to-spec text.yaml
preprocess text-to-spec text.yaml -c preprocessing.train_split=0.8 --config-args model.multilingual=True
preprocess text-to-spec text.yaml -c preprocessing.source_data.0.label=x
preprocess text-to-spec text.yaml -C 2 -O -D -s energy -s pitch -S
preprocess text-to-spec text.yaml --cpus 2 --overwrite --debug --steps audio --steps spec --stats
preprocess text-to-spec text.yaml -s attn -s text -s pfs --no-stats
preprocess spec-to-wav text.yaml -s audio -s spec -C 4 -O -D
train text-to-spec text.yaml -c training.finetune_checkpoint=a.ckpt -a auto -d auto -n 1 -s ddp
train text-to-spec text.yaml --accelerator cpu --devices 1 --nodes 1 --strategy ddp --config-args a.b=9
train spec-to-wav text.yaml -c training.finetune=True -a gpu -d 1
synthesize from-text a.ckpt -t Hello -t "Good morning." -a cpu -d 1 -v voc.ckpt -O wav -O spec
synthesize from-text a.ckpt --text Hello --vocoder-path voc.ckpt --output-type textgrid --output-dir out
synthesize from-text a.ckpt -t Hello -c text.split_text=False -o out -l eng -s speaker_0 -D 1.5 -S style.wav
synthesize from-text a.ckpt -t Hello --config text.split_text=False --language eng --speaker speaker_0
synthesize from-text a.ckpt -t Hello --duration-control 1.5 --style-reference style.wav
synthesize from-text a.ckpt -f list.psv --text-representation phones -b 4 -n 4 -O readalong-xml
synthesize from-text a.ckpt -f list.psv -O readalong-html -v voc.ckpt
synthesize from-text a.ckpt --filelist list.psv --text-representation arpabet --batch-size 4 --num-workers 4
synthesize from-text a.ckpt -O spec --filelist list.psv -T folder -o folder --accelerator cpu --devices auto
synthesize from-text a.ckpt -O spec --filelist list.psv --teacher-forcing-directory folder --simple-filenames
synthesize from-spec -i spec.pt -m voc.ckpt
synthesize from-spec --input spec.pt --model voc.ckpt --time-oriented
synthesize from-spec --input spec.pt --model voc.ckpt --no-time-oriented
export spec-to-wav voc.ckpt
export spec-to-wav voc.ckpt -o exported.ckpt
export spec-to-wav voc.ckpt --output exported.ckpt
check data text.yaml a.ckpt
check data text.yaml a.ckpt -o out -S style.wav -a auto -d auto -f list.psv -p folder -n 4
check data text.yaml a.ckpt --output-dir out --style-reference style.wav --accelerator cpu --devices 1
check data text.yaml a.ckpt --filelist list.psv --preprocessed-directory folder --num-workers 4
check data text.yaml a.ckpt --text-representation characters --calculate-stats --objective-evaluation
check data text.yaml a.ckpt --no-calculate-stats --no-objective-evaluation --clip-detection
check data text.yaml a.ckpt --no-clip-detection
check text-config -c text.yaml --text-file list.psv -l eng
check text-config --config text.yaml --psv-file list.psv --language eng
check text-config -m a.ckpt --psv-file list.psv
check text-config --model a.ckpt --text-file list.psv -l eng
checkpoint inspect a.ckpt
checkpoint inspect a.ckpt -c -a
checkpoint inspect a.ckpt -C -A
checkpoint inspect a.ckpt --show-config --show-architecture
checkpoint inspect a.ckpt --no-show-config --no-show-architecture
checkpoint rename-speaker a.ckpt speaker_0 Anna
g2p eng
g2p eng list.psv
g2p eng list.psv --config text.yaml
"""
# How earlier versions spelt it.
EARLIER = """
preprocess text.yaml
preprocess text.yaml -s audio -C 2
synthesize from-text a.ckpt -O spec --filelist list.psv --teacher-forcing-folder folder
synthesize spec-to-wav -i spec.pt -m voc.ckpt
check-data text.yaml a.ckpt -o out
inspect-checkpoint a.ckpt
train text-to-spec text.yaml -c training.finetune_ckpt=a.ckpt
synthesize from-text a.ckpt -t Hello --config-args text.split_text=False
"""
LATER = """
new-project
new-project --resume-from answers.yaml --trace
segment align text.txt audio.wav --sample-rate 16000
segment extract audio.TextGrid audio.wav out --tier-number 4
evaluate -f audio.wav -r other.wav
demo a.ckpt voc.ckpt
demo a.ckpt --vocoder voc.ckpt -p 7860 --share
"""
NOT_COVERED = """
preprocess text-to-wav text.yaml -s audio
train text-to-wav text.yaml
synthesize text-to-wav a.ckpt -r style.wav -t Hello --diffusion-steps 5
fetch-pretrained text-to-wav text.yaml
update-schemas -o out
check pretrained-symbols -c text.yaml
"""


def lines(text):
    return [line for line in text.splitlines() if line]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder in which every file of the command lines is there."""
    monkeypatch.chdir(tmp_path)
    for name in ("text.yaml", "a.ckpt", "voc.ckpt", "list.psv", "style.wav", "spec.pt"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


def parsed(line):
    """What the command is given; it is not called."""
    command, words = get_command(app), shlex.split(line)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.make_context(command.name, words).params


@pytest.mark.parametrize("line", [*lines(LINES), *lines(EARLIER)])
def test_a_command_line_of_everyvoice_is_understood(here, line):
    assert parsed(line)


@pytest.mark.parametrize("text", [LATER, NOT_COVERED], ids=["later", "not covered"])
def test_a_command_that_is_not_there_says_so_in_one_line(retimbre, here, text):
    for line in lines(text):
        error = retimbre(*shlex.split(line)).error
        assert "comes in a later version" in error if text is LATER else "is not covered" in error
        assert re.search(r"\. [A-Z]", error), error  # and what to do instead


def commands(command=None, path=()):
    """Every command, hidden or not, with its group."""
    command = command or get_command(app)
    if not hasattr(command, "commands"):
        return [path]
    return [
        path,
        *(found for name, one in command.commands.items() for found in commands(one, (*path, name))),
    ]


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_and_group_has_help_under_both_names(retimbre, path):
    short, long = retimbre(*path, "-h"), retimbre(*path, "--help")
    assert short.code == long.code == 0
    assert short.out == long.out
    assert "Usage" in short.out


def test_defaults_are_shown_and_not_taken_for_colours(retimbre):
    assert "[default: base]" in retimbre("match", "--help").out


def test_only_what_is_there_is_listed(retimbre):
    shown = retimbre("--help").out
    for name in ("preprocess", "train", "synthesize", "export", "check", "checkpoint", "g2p", "match"):
        assert re.search(rf"^│ {name} ", shown, re.M), name
    for name in ("new-project", "demo", "segment", "evaluate", "check-data", "inspect-checkpoint"):
        assert not re.search(rf"^│ {name} ", shown, re.M), name


def test_versions_are_told_under_all_names(retimbre):
    assert retimbre("-v").out == retimbre("--version").out
    long, short = retimbre("--diagnostic"), retimbre("-d")
    assert long.code == 0
    assert long.out == short.out
    assert re.search(r"^torch==", long.out, re.M)


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], ["torch", "numpy", "pydantic", "yaml", "g2p"]),
        (["check", "data", "--help"], ["torch", "numpy", "yaml", "g2p"]),  # typer checks numbers by pydantic
    ],
)
def test_help_waits_for_nothing_heavy(words, heavy):
    code = (
        "import resource, sys\n"
        "import retimbre.cli.main as main\n"
        f"sys.argv = ['retimbre', *{words}]\n"
        "try: main.run()\n"
        "except SystemExit: pass\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        f"heavy = set({heavy}) & sys.modules.keys()\n"
        "sys.exit(f'{heavy} {used}' if heavy or used.ru_utime + used.ru_stime > 0.5 else 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("devices", ["auto", "1", "-1", "0", "0,", "[0]"])
def test_values_that_mean_one_device_are_accepted(project, retimbre, devices):
    words = ("-d", devices, "-n", 1, "-s", "ddp", "-a", "cpu", "--dry-run")
    ended = retimbre("train", "text-to-spec", project.tuning, *words)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-d", "2"), "--devices 2: Retimbre trains on the first device"),
        (("-d", "0,1"), "--devices 0,1"),
        (("-n", "2"), "--nodes 2: Retimbre trains on one machine"),
        (("-s", "fsdp"), "--strategy fsdp: one device needs none"),
    ],
)
def test_more_than_one_device_is_refused_before_anything_begins(project, retimbre, words, expected):
    before = project.files()
    assert expected in retimbre("train", "text-to-spec", project.tuning, *words).error
    assert project.files() == before
