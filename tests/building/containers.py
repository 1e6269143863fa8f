"""Files as torch.save writes them, with any pickle inside."""

import io
import pickle
import struct
import zipfile

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def in_zip(contents, storages, kind=zipfile.ZIP_STORED):
    """The container since torch 1.6, as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        archive.writestr("made/data.pkl", contents)
        for key, raw in storages.items():
            archive.writestr(f"made/data/{key}", raw)
    return buffer.getvalue()


def in_legacy(contents, storages):
    """The container before it, as bytes; storages are taken to be of float32."""
    head = [pickle.dumps(value, protocol=2) for value in (LEGACY_MAGIC, 1001, {"little_endian": True})]
    keys = pickle.dumps(sorted(storages), protocol=2)
    raw = [struct.pack("<q", len(storages[key]) // 4) + storages[key] for key in sorted(storages)]
    return b"".join([*head, contents, keys, *raw])
