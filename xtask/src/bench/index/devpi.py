"""Makes the index root/bench on a devpi-server: with all wheels of a directory, or as a mirror.

URL PASSWORD upload DIRECTORY | URL PASSWORD mirror UPSTREAM
"""

import base64
import json
import os
import sys
import urllib.request

base, password, what, source = sys.argv[1:]


def call(method, path, body, headers):
    request = urllib.request.Request(base + path, data=body, method=method)
    for name, value in headers.items():
        request.add_header(name, value)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return answer.read()


as_json = {"Content-Type": "application/json", "Accept": "application/json"}
login = json.dumps({"user": "root", "password": password}).encode()
token = json.loads(call("POST", "+login", login, as_json))["result"]["password"]
auth = {"X-Devpi-Auth": base64.b64encode(f"root:{token}".encode()).decode()}
if what == "mirror":
    index = {"type": "mirror", "mirror_url": source}
else:
    index = {"type": "stage", "bases": [], "volatile": True}
call("PUT", "root/bench", json.dumps(index).encode(), as_json | auth)

for filename in sorted(os.listdir(source)) if what == "upload" else []:
    name, version = filename.split("-")[:2]
    fields = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.1",
        "name": name.replace("_", "-"),
        "version": version,
        "filetype": "bdist_wheel",
        "pyversion": "py3",
        "requires_python": ">=3.8",
    }
    boundary = b"----bench-boundary"
    parts = [
        b"--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
        % (boundary, field.encode(), value.encode())
        for field, value in fields.items()
    ]
    with open(os.path.join(source, filename), "rb") as wheel:
        content = wheel.read()
    parts.append(
        b"--%s\r\nContent-Disposition: form-data; name=\"content\"; filename=\"%s\"\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n%s\r\n--%s--\r\n"
        % (boundary, filename.encode(), content, boundary)
    )
    kind = {"Content-Type": "multipart/form-data; boundary=" + boundary.decode()}
    call("POST", "root/bench/", b"".join(parts), kind | auth)
