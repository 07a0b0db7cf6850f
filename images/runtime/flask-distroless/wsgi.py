"""The smallest web service: says hello, and what it runs as."""

import os
import sys

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def hello():
    return jsonify(
        message="hello",
        python=sys.version.split()[0],
        uid=os.getuid(),
    )
