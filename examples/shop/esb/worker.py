"""The shop's bus: carries orders from the queue into the database, each at least once and stored exactly once."""
import json
import os
import signal
import sys
import time

import psycopg2
import redis

QUEUE = "orders:queue"
# An order stays here until it is in the database: a worker that dies loses nothing.
IN_HAND = "orders:in-hand"
LISTING = "orders:listing"
WAIT_SECONDS = 5
RETRY_SECONDS = 1


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        try:
            carry()
        except (redis.RedisError, psycopg2.Error) as error:
            print(f"trying again: {error}", file=sys.stderr)
            time.sleep(RETRY_SECONDS)


def carry():
    cache = redis.Redis(host=os.environ["CACHE_HOST"], socket_timeout=2 * WAIT_SECONDS, decode_responses=True)
    database = psycopg2.connect(
        host=os.environ["DB_HOST"], dbname="shop", user="shop", password=os.environ["DB_PASSWORD"], connect_timeout=5
    )
    database.autocommit = True
    while cache.rpoplpush(IN_HAND, QUEUE):
        pass
    print("carrying orders")
    while True:
        message = cache.brpoplpush(QUEUE, IN_HAND, timeout=WAIT_SECONDS)
        if message is None:
            continue
        store(database, json.loads(message))
        cache.lrem(IN_HAND, 1, message)
        cache.delete(LISTING)


def store(database, order):
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders (id, customer, item, quantity) VALUES (%(id)s, %(customer)s, %(item)s, %(quantity)s)"
            " ON CONFLICT (id) DO NOTHING",
            order,
        )
    print(f"order {order['id']} stored")


if __name__ == "__main__":
    main()
