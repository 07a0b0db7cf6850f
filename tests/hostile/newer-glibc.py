"""Makes a module linked to a C library of the future, as a binary that was brought along would be."""


def write(name, text):
    with open(name, "w") as file:
        file.write(text)


def cc(*arguments):
    subprocess.check_call(["gcc", "-shared", "-fPIC", "-nostdlib", *arguments])


def binary_wheel(directory, name):
    with open(name, "rb") as file:
        return write_wheel(directory, {name: file.read()}, "cp311-cp311-linux_x86_64")


def build_wheel(directory, config_settings=None, metadata_directory=None):
    write("libc.c", "int of_the_future(void) { return 1; }")
    write("libc.map", "GLIBC_2.99 { of_the_future; };")
    cc("libc.c", "-Wl,-soname,libc.so.6", "-Wl,--version-script=libc.map", "-o", "libc.so")
    write("module.c", "int of_the_future(void); void *PyInit_newer_glibc(void) { of_the_future(); return 0; }")
    cc("module.c", "libc.so", "-o", "newer_glibc.so")
    return binary_wheel(directory, "newer_glibc.so")
