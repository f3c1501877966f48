"""The shop's page: takes orders and hands them to the queue; lists what reached the database."""
import html
import json
import os
import signal
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import psycopg2
import redis

QUEUE = "orders:queue"
LISTING = "orders:listing"
# How many orders were ever taken; known to the cache alone.
TAKEN = "orders:taken"
# The listing is kept this long at most; the worker drops it earlier, with each new order.
LISTING_SECONDS = 2
LARGEST_FORM = 4096
ITEMS = ["Acorns, one bag", "Hazelnuts, one bag", "Nest lining, moss"]

HERE = Path(__file__).parent
PAGE = (HERE / "page.html").read_text()
HEADLINE = (HERE / "headline.txt").read_text().strip()

cache = redis.Redis(host=os.environ["CACHE_HOST"], socket_timeout=5, decode_responses=True)


def listed_orders():
    """The newest orders, from the cache or else from the database."""
    known = cache.get(LISTING)
    if known is not None:
        return json.loads(known)
    connection = psycopg2.connect(
        host=os.environ["DB_HOST"], dbname="shop", user="shop", password=os.environ["DB_PASSWORD"], connect_timeout=5
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT customer, item, quantity, to_char(placed_at, 'YYYY-MM-DD HH24:MI:SS')"
                " FROM orders ORDER BY placed_at DESC LIMIT 50"
            )
            rows = cursor.fetchall()
    finally:
        connection.close()
    cache.set(LISTING, json.dumps(rows), ex=LISTING_SECONDS)
    return rows


def render():
    escaped = [[html.escape(str(cell)) for cell in row] for row in listed_orders()]
    waiting = cache.llen(QUEUE)
    taken = int(cache.get(TAKEN) or 0)
    branch = os.environ.get("DREY_BRANCH")
    return PAGE.format(
        refresh='<meta http-equiv="refresh" content="1">\n' if waiting else "",
        headline=html.escape(HEADLINE),
        where=html.escape(f"branch {branch}" if branch else "running on one machine"),
        items="".join(f"<option>{html.escape(item)}</option>" for item in ITEMS),
        orders="".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in escaped)
        or '<tr><td colspan="4">No orders yet.</td></tr>',
        taken=f"{taken} taken" if taken else "",
        waiting=f", {waiting} on the way…" if waiting else "",
    )


def parse_order(form):
    """The order in a submitted form; raises ValueError with what is wrong."""
    customer = form.get("customer", [""])[0].strip()
    item = form.get("item", [""])[0]
    quantity = int(form.get("quantity", ["1"])[0])
    if not 1 <= len(customer) <= 80 or "\0" in customer:
        raise ValueError("a name of 1 to 80 characters, please")
    if item not in ITEMS:
        raise ValueError("we do not sell that")
    if not 1 <= quantity <= 999:
        raise ValueError("between 1 and 999, please")
    return {"id": str(uuid.uuid4()), "customer": customer, "item": item, "quantity": quantity}


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.split("?")[0] != "/":
            return self.answer(404, "Nothing here.\n")
        try:
            page = render()
        except (redis.RedisError, psycopg2.Error) as error:
            print(f"cannot list the orders: {error}", file=sys.stderr)
            return self.answer(503, "The shop is opening; try again in a moment.\n")
        self.answer(200, page, "text/html; charset=utf-8")

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_FORM:
            self.close_connection = True
            return self.answer(413, "That form is too large.\n")
        body = self.rfile.read(int(length)).decode("utf-8", "replace")
        if self.path != "/orders":
            return self.answer(404, "Nothing here.\n")
        try:
            order = parse_order(parse_qs(body))
        except ValueError as error:
            return self.answer(400, f"{error}\n")
        try:
            cache.pipeline().lpush(QUEUE, json.dumps(order)).incr(TAKEN).execute()
        except redis.RedisError as error:
            print(f"cannot take the order: {error}", file=sys.stderr)
            return self.answer(503, "We cannot take orders now.\n")
        self.answer(303, "", headers={"Location": "/"})

    def answer(self, status, text, kind="text/plain; charset=utf-8", headers=None):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer(("0.0.0.0", 8080), Shop).serve_forever()
