import json, os, urllib.request

LB = os.environ.get("LB", "http://127.0.0.1:8080")
job = {
    "image": "busybox",
    "args": ["echo", "hello"],
    "files": {"notes.txt": "to be read by the command\n"},
}
request = urllib.request.Request(
    LB + "/api/v1/run", json.dumps(job).encode(), {"content-type": "application/json"}
)
with urllib.request.urlopen(request) as answer:
    result = json.load(answer)
print(result["outcome"], result["stdout"])
