"""Deliveries over connections that are kept, each sent at its moment."""

import queue
import socket
import threading
import time

SENDERS = 8


class Client:
    """One connection that is kept; status of each answer, 0 where there was none."""

    def __init__(self, port):
        self.port = port
        self.socket = None

    def send(self, data):
        try:
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(data)
            return self._answer()
        except (OSError, ValueError, IndexError):
            self.socket = None
            return 0

    def _answer(self):
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = bytes(received[:end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        while len(received) < end + 4 + length:
            received += self._more()
        return int(head.split()[1])

    def _more(self):
        chunk = self.socket.recv(1 << 17)
        if not chunk:
            raise OSError("closed")
        return chunk


def paced(port, requests, rate, kept=True):
    """Sends `rate` of them a second; milliseconds from the moment each was due, sorted, and how many were not taken.

    `kept`: over a few connections that stay; else over a new one each, as a hook comes.
    """
    due = queue.SimpleQueue()
    for numbered in enumerate(requests):
        due.put(numbered)
    times, lost = [], []
    begin = time.monotonic() + 0.5

    def send():
        client = Client(port)
        while True:
            try:
                number, data = due.get_nowait()
            except queue.Empty:
                return
            moment = begin + number / rate
            time.sleep(max(0, moment - time.monotonic()))
            if not kept:
                client.socket = None
            status = client.send(data)
            times.append(1000 * (time.monotonic() - moment))
            if status != 202:
                lost.append(status)

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return sorted(times), len(lost)


def tell(figures, times, prefix=""):
    for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99)):
        figures.tell(prefix + name, [times[int(len(times) * part)]], "ms")
