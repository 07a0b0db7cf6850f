"""Makes a module that says that it needs an x86-64-v3 processor."""


def write(name, text):
    with open(name, "w") as file:
        file.write(text)


def cc(*arguments):
    subprocess.check_call(["gcc", "-shared", "-fPIC", "-nostdlib", *arguments])


def binary_wheel(directory, name):
    with open(name, "rb") as file:
        return write_wheel(directory, {name: file.read()}, "cp311-cp311-linux_x86_64")


def build_wheel(directory, config_settings=None, metadata_directory=None):
    write("module.c", "void *PyInit_newer_processor(void) { return 0; }")
    cc("module.c", "-march=x86-64-v3", "-Wl,-z,x86-64-v3", "-o", "newer_processor.so")
    return binary_wheel(directory, "newer_processor.so")
