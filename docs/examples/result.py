import json, os, urllib.error, urllib.request

LB = os.environ.get("LB", "http://127.0.0.1:8080")
job = {"image": "busybox", "args": ["echo", "hello"]}
request = urllib.request.Request(
    LB + "/api/v1/run", json.dumps(job).encode(), {"content-type": "application/json"}
)
with urllib.request.urlopen(request) as answer:
    digest = answer.headers["pe-job"]

# Whoever has the digest needs no run.
try:
    with urllib.request.urlopen(f"{LB}/api/v1/results/{digest}") as answer:
        print(json.load(answer)["stdout"])
except urllib.error.HTTPError as error:
    print(json.load(error)["detail"])  # 404: not known, or not any more
