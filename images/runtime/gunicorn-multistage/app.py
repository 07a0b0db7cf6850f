"""A page that is made with compiled code: MarkupSafe escapes what Jinja is given."""

import platform
import sys

import markupsafe
from flask import Flask, jsonify, render_template_string, request

app = Flask(__name__)
PAGE = "<p>{{ greeting }}, {{ name }}</p>"


@app.get("/")
def page():
    name = request.args.get("name", "<you>")
    return render_template_string(PAGE, greeting="hello", name=name)


@app.get("/about")
def about():
    return jsonify(
        python=platform.python_version(),
        libc=platform.libc_ver()[0] or "musl",
        escape=sys.modules[markupsafe._escape_inner.__module__].__file__,
    )
