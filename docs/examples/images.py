import json, os, urllib.request

LB = os.environ.get("LB", "http://127.0.0.1:8080")
with urllib.request.urlopen(LB + "/api/v1/images") as answer:
    for image in json.load(answer)["images"]:
        print(image["name"], ", ".join(image["tags"]), image["title"], sep="\t")
