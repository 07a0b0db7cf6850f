"""Takes mails by SMTP on port 1025 and shows the last thousand on port 8025, in the JSON that mailpit has for them."""

import asyncio
import json
import signal
from collections import deque
from email import message_from_bytes, policy
from email.utils import getaddresses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from aiosmtpd.controller import UnthreadedController

MESSAGES = deque(maxlen=1000)


class Catcher:
    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        body = mail.get_body(("plain", "html"))
        people = {key: [{"Name": name, "Address": address} for name, address in getaddresses(mail.get_all(key, []))]
                  for key in ("From", "To")}
        MESSAGES.appendleft({
            "From": people["From"][0] if people["From"] else None,
            "To": people["To"],
            "Subject": mail.get("Subject", ""),
            "Snippet": " ".join(body.get_content().split())[:250] if body else "",
        })
        return "250 taken"


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/api/v1/messages":
            self.send_error(404)
            return
        messages = list(MESSAGES)
        answer = json.dumps({"total": len(messages), "messages": messages}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main():
    loop = asyncio.new_event_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, loop.stop)
    UnthreadedController(Catcher(), hostname="0.0.0.0", port=1025, loop=loop).begin()
    pages = ThreadingHTTPServer(("0.0.0.0", 8025), Page)
    Thread(target=pages.serve_forever, daemon=True).start()
    loop.run_forever()


main()
