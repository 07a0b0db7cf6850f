"""A guest book: entries are rows in PostgreSQL, and its owner gets a mail for each."""

import smtplib
from contextlib import closing
from email.message import EmailMessage

import psycopg2
from flask import Flask, abort, current_app, request

TABLE = """
CREATE TABLE IF NOT EXISTS entry (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    message text NOT NULL,
    written timestamptz NOT NULL DEFAULT now()
)
"""
GREETING = "Welcome"


def create_app():
    """The settings: those here, then those of the instance's file, then the environment's (FLASK_...)."""
    app = Flask(__name__, instance_path="/app/instance", instance_relative_config=True)
    app.config.from_mapping(TITLE="Guest book", MAIL_HOST="mail", MAIL_PORT=1025, MAX_CONTENT_LENGTH=10_000)
    app.config.from_pyfile("settings.py")
    app.config.from_prefixed_env()
    with database() as connection, connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
    app.add_url_rule("/", view_func=about)
    app.add_url_rule("/entries", view_func=entries)
    app.add_url_rule("/entries", view_func=write, methods=["POST"])
    return app


def database():
    """A connection to what libpq's own variables name: PGHOST, PGUSER, PGPASSWORD, PGDATABASE."""
    return closing(psycopg2.connect("", connect_timeout=5))


def about():
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM entry")
        (count,) = cursor.fetchone()
    return {"greeting": GREETING, "title": current_app.config["TITLE"], "entries": count}


def entries():
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, message, written FROM entry ORDER BY id DESC LIMIT 100")
        rows = cursor.fetchall()
    return [{"name": name, "message": message, "written": written.isoformat()} for name, message, written in rows]


def write():
    name, message = (text(key, limit) for key, limit in (("name", 100), ("message", 2000)))
    with database() as connection, connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO entry (name, message) VALUES (%s, %s) RETURNING id", (name, message))
        (number,) = cursor.fetchone()
    try:
        send(f"{name} wrote:\n\n{message}\n")
    except OSError:
        # The entry is there all the same.
        current_app.logger.exception("the mail about entry %s was not sent", number)
    return {"id": number}, 201


def text(key, limit):
    sent = request.get_json()
    value = sent.get(key) if isinstance(sent, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= limit or "\0" in value:
        abort(400, f"{key} has to be a text of at most {limit} characters")
    return value


def send(content):
    config = current_app.config
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = config["MAIL_FROM"], config["MAIL_TO"], config["TITLE"]
    mail.set_content(content)
    with smtplib.SMTP(config["MAIL_HOST"], config["MAIL_PORT"], timeout=5) as server:
        server.send_message(mail)
