"""Makes wheels of one module: FOLDER (NAME VERSION METADATA_NAME MODULE_TEXT REQUIRES TAG)..."""

import base64
import hashlib
import os
import sys
import zipfile

folder, *words = sys.argv[1:]
for name, version, metadata_name, module, requires, tag in zip(*[iter(words)] * 6, strict=True):
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {metadata_name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {needed}\n" for needed in requires.split(",") if needed)
    wheel = f"Wheel-Version: 1.0\nGenerator: waxseal-tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    files = {f"{name}.py": module, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text.encode())}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    made = os.path.join(folder, f"{name}-{version}-{tag}.whl")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            # A fixed time: the same words make the same bytes.
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), text)
    print(made)
