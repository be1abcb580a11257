"""A TCP proxy that knows where Kafka's messages begin and end: proxy.py LISTEN_PORT BROKER_PORT

Commands come on standard input, one a line, and each is answered by one line:
  cut            every connection is closed; new ones are taken
  swallow API    the broker gets the next request of this kind (a number of the protocol: 26 is EndTxn), but its reply goes
                 nowhere and the connection is closed; "swallowed API" is written when that has happened
  hold, pass     nothing goes through any more, though connections stay; it goes on
  deny, allow    new connections are closed at once, and so are those that are open; they are taken again
"""
import socket
import struct
import sys
import threading

lock = threading.Condition()
links = set()
state = {"swallow": None, "held": False, "denied": False}


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(min(n - len(data), 1 << 20))
        if not piece:
            raise ConnectionError
        data += piece
    return data


def read_message(sock):
    size = read_exactly(sock, 4)
    return size, read_exactly(sock, struct.unpack(">i", size)[0])


class Link:
    """One connection of a client, and ours to the broker for it."""

    def __init__(self, client, broker_port):
        self.client = client
        self.broker = socket.create_connection(("127.0.0.1", broker_port))
        for sock in (self.client, self.broker):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unwanted = set()  # correlation ids whose reply goes nowhere
        for source, to, look in ((self.client, self.broker, self.request), (self.broker, self.client, self.reply)):
            threading.Thread(target=self.carry, args=(source, to, look), daemon=True).start()

    def close(self):
        with lock:
            links.discard(self)
        for sock in (self.client, self.broker):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def request(self, body):
        api, _, correlation = struct.unpack(">hhi", body[:8])
        with lock:
            if state["swallow"] == api:
                state["swallow"] = None
                self.unwanted.add(correlation)
        return True

    def reply(self, body):
        if struct.unpack(">i", body[:4])[0] not in self.unwanted:
            return True
        say("swallowed")
        return False

    def carry(self, source, to, look):
        try:
            while True:
                size, body = read_message(source)
                with lock:
                    while state["held"]:
                        lock.wait()
                if not look(body):
                    break
                to.sendall(size + body)
        except OSError:
            pass
        self.close()


def cut_all():
    with lock:
        open_links = list(links)
    for link in open_links:
        link.close()


def take_command(words):
    with lock:
        if words[0] == "swallow":
            state["swallow"] = int(words[1])
        elif words[0] in ("hold", "pass"):
            state["held"] = words[0] == "hold"
            lock.notify_all()
        elif words[0] in ("deny", "allow"):
            state["denied"] = words[0] == "deny"
    if words[0] in ("cut", "deny"):
        cut_all()
    say("done " + " ".join(words))


def accept(server, broker_port):
    while True:
        client, _ = server.accept()
        try:
            if state["denied"]:
                raise OSError
            link = Link(client, broker_port)
        except OSError:
            client.close()
            continue
        with lock:
            links.add(link)


def main():
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
    threading.Thread(target=accept, args=(server, int(sys.argv[2])), daemon=True).start()
    say("ready")
    for line in sys.stdin:
        take_command(line.split())


main()
