"""Makes a small wheel whose METADATA unpacks to 100 MiB."""


def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = write_wheel(directory, {"bloats.py": ""})
    with zipfile.ZipFile(os.path.join(directory, name), "w", zipfile.ZIP_DEFLATED) as archive:
        info = "%s-%s.dist-info/" % (NAME, VERSION)
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
        with archive.open(info + "METADATA", "w", force_zip64=True) as file:
            file.write(b"Metadata-Version: 2.1\nName: bloats\nVersion: 1.0\n\n")
            for _ in range(100):
                file.write(bytes(1 << 20))
    return name
