"""Audio in a report is what the model made."""

import base64
import io
from pathlib import Path

import numpy as np
import soundfile

from retimbre.report.sound import data_uri, safe_names, save_wav


def test_the_page_holds_the_same_samples_as_the_file(tone, tmp_path):
    audio = tone(n_samples=6007)
    kind, content = data_uri(audio).split(",")
    assert kind == "data:audio/flac;base64"
    in_page, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="int16")
    in_file, _ = soundfile.read(save_wav(audio, tmp_path, utterance="u", system="s"), dtype="int16")
    assert rate_hz == audio.sample_rate_hz
    np.testing.assert_array_equal(in_page, in_file)


def test_names_of_files_stay_inside_their_folder_and_differ():
    names = ["../../etc/passwd", "a/b", "a b", "A B", "", "..", "tuned", "été"]
    found = safe_names(names)
    assert set(found) == set(names)
    assert len({name.lower() for name in found.values()}) == len(names)
    assert found["tuned"] == "tuned"
    assert found["été"] == "été"
    for name in found.values():
        assert Path(name).name == name
        assert not name.startswith(".")
