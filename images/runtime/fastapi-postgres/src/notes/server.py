"""The web service: reads and writes notes."""

import os
from contextlib import asynccontextmanager

import psycopg2
import psycopg2.pool
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

TABLE = "CREATE TABLE IF NOT EXISTS note (id serial PRIMARY KEY, text text NOT NULL)"


class Note(BaseModel):
    text: str


@asynccontextmanager
async def lifespan(app):
    # DATABASE_URL as libpq reads it: postgresql://user:password@host/name?sslmode=require
    app.state.pool = psycopg2.pool.ThreadedConnectionPool(1, 8, os.environ["DATABASE_URL"])
    query(app, TABLE)
    yield
    app.state.pool.closeall()


app = FastAPI(title="notes", lifespan=lifespan)


def query(app, statement, *values):
    pool = app.state.pool
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        pool.putconn(connection)


@app.get("/")
def about(request: Request):
    [[version]] = query(request.app, "SHOW server_version")
    return {"postgresql": version, "libpq": psycopg2.__libpq_version__}


@app.get("/notes")
def list_notes(request: Request):
    rows = query(request.app, "SELECT id, text FROM note ORDER BY id")
    return [{"id": number, "text": text} for number, text in rows]


@app.post("/notes", status_code=201)
def add_note(note: Note, request: Request):
    [[number]] = query(request.app, "INSERT INTO note (text) VALUES (%s) RETURNING id", note.text)
    return {"id": number, "text": note.text}


def main():
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", "8080")))
