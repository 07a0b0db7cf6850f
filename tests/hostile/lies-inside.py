"""Makes a wheel that is of another project by its METADATA."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    metadata = "Metadata-Version: 2.1\nName: requests\nVersion: 9999\n"
    name = write_wheel(directory, {"lies.py": ""})
    path = os.path.join(directory, name)
    with zipfile.ZipFile(path) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in files.items():
            archive.writestr(entry, metadata if entry.endswith("/METADATA") else content)
    return name
