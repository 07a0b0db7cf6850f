"""Fails if it may do anything that a build must not do."""

import socket


def build_wheel(directory, config_settings=None, metadata_directory=None):
    problems = []
    interfaces = sorted(name for _, name in socket.if_nameindex())
    if interfaces != ["lo"]:
        problems.append("network: %s" % interfaces)
    if os.getuid() == 0:
        problems.append("root")
    for place in ("/", "/usr", "/etc", "/in"):
        try:
            open(os.path.join(place, "probe"), "w")
            problems.append("can write to " + place)
        except OSError:
            pass
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
    if int(status["CapBnd"], 16) or int(status["CapEff"], 16):
        problems.append("capabilities")
    if status["NoNewPrivs"].strip() != "1":
        problems.append("new privileges")
    assert not problems, problems
    return write_wheel(directory, {"probe.py": ""})
