"""Sends refused and accepted requests over a connection that is kept. Fails when one is not answered."""
import http.client
import sys

host, port = sys.argv[1].split(":")
connection = http.client.HTTPConnection(host, int(port), timeout=30)
connection.connect()
# Without this the library would open another connection by itself when the server has closed this one.
connection.auto_open = 0


def ask(method, path, headers, body):
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


json = {"Content-Type": "application/json"}
small = "x" * 50_000
cases = [
    (415, "POST", "/api/messages/sms", {"Content-Type": "text/plain"}, small),
    (400, "POST", "/api/messages/sms?unknown=1", json, small),
    (404, "POST", "/nowhere", json, small),
    (405, "DELETE", "/api/messages", json, small),
    (413, "POST", "/api/messages/sms", json, "x" * 300_000),
    (200, "GET", "/healthz", {}, None),
]
for _ in range(20):
    for expected, method, path, headers, body in cases:
        status = ask(method, path, headers, body)
        assert status == expected, f"{method} {path}: {status} instead of {expected}"
connection.auto_open = 1
for _ in range(5):
    status = ask("POST", "/api/messages/sms", json, "x" * 4_000_000)
    assert status == 413, f"{status} instead of 413"
print(f"{20 * len(cases)} requests over one connection, then 5 of 4 MB, all answered")
