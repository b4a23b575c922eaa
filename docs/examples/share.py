import json, os, urllib.request

LB = os.environ.get("LB", "http://127.0.0.1:8080")
state = {
    "v": 1,
    "image": "busybox",
    "command": ["echo", "hello"],
    "files": {"notes.txt": "to be read by the command\n"},
}
request = urllib.request.Request(
    LB + "/api/v1/shares", json.dumps(state).encode(), {"content-type": "application/json"}
)
with urllib.request.urlopen(request) as answer:
    print(f"{LB}/s/{json.load(answer)['share']}")
