"""A vocoder is exported under EveryVoice's default name, and speaks as before."""

import soundfile
import torch


def test_an_exported_vocoder_speaks_as_before(project, retimbre, tmp_path):
    torch.save(torch.randn(80, 9), tmp_path / "a.pt")

    ended = retimbre("export", "spec-to-wav", project.vocoder)

    assert ended.code == 0, ended.err
    assert ended.out == "exported.ckpt\n"
    exported = tmp_path / "here" / "exported.ckpt"
    assert exported.stat().st_size < project.vocoder.stat().st_size
    waves = []
    for number, model in enumerate((project.vocoder, exported)):
        place = tmp_path / f"{number}.wav"
        assert (
            retimbre("synthesize", "from-spec", "-i", tmp_path / "a.pt", "-m", model, "-o", place).code == 0
        )
        waves.append(soundfile.read(place)[0])
    assert (waves[0] == waves[1]).all()


def test_the_ending_chooses_the_format(project, retimbre, tmp_path):
    ended = retimbre("export", "spec-to-wav", project.vocoder, "-o", tmp_path / "small.safetensors")

    assert ended.out == f"{tmp_path / 'small.safetensors'}\n"
    assert (tmp_path / "small.json").is_file()


def test_what_is_no_vocoder_is_refused(project, retimbre, tmp_path):
    error = retimbre("export", "spec-to-wav", project.text_to_spec).error

    assert "expected a spec-to-wav checkpoint, found fastspeech2" in error
    assert not (tmp_path / "here" / "exported.ckpt").exists()
