"""A way to a server by another address, as NAT and port mapping make it: connections keep their source address."""

import collections
import socket
import threading


class Forwarder:
    """Listens at `address` on a port of its own; `seen` counts connections by where they came from."""

    def __init__(self, address, to_address, to_port):
        self.to = (to_address, to_port)
        self.seen = collections.Counter()
        self.listener = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                                             backlog=1024)
        self.address, self.port = self.listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, source = self.listener.accept()
            except OSError:
                return
            self.seen[source[0]] += 1
            threading.Thread(target=self._forward, args=(client, source[0]), daemon=True).start()

    def _forward(self, client, source):
        with client:
            try:
                server = socket.create_connection(self.to, timeout=10, source_address=(source, 0))
            except OSError:
                return
            with server:
                server.settimeout(None)
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join()

    @staticmethod
    def _copy(source, target):
        try:
            while octets := source.recv(65536):
                target.sendall(octets)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other direction was faster
